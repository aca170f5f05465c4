"""Rankers: pretrained on weak labels, finetuned on few observations, they score architectures."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.loggers import Logger
from torch import Tensor

from acenas.errors import UserError
from acenas.files import atomic_path
from acenas.ranker.data import FinetuningData, LabelledGraphs, PretrainingData
from acenas.ranker.encoders import Encoder
from acenas.ranker.module import Finetuning, Pretraining, RankingNetwork, observed_weights
from acenas.ranking import RankingLoss, relevance
from acenas.seeds import derive_seed
from acenas.spaces.graphs import GraphBatch
from acenas.training.lightning import EpochCheckpoint, one_thread, quiet

SCORE_BATCH = 2048
"""Graphs scored at once: enough to keep the cores busy, few enough to stay in their caches."""


class Ranker(ABC):
    """Scores architectures after seeing weak labels of many and observed accuracies of few."""

    @abstractmethod
    def pretrain(
        self,
        graphs: GraphBatch,
        weak_labels: Tensor,
        *,
        folder: Path,
        label_names: Sequence[str] = (),
        callbacks: Sequence[pl.Callback] = (),
        loggers: Sequence[Logger] = (),
    ) -> None:
        """Learns from weak labels. Called again with the same folder after a kill, it goes on where it was.

        Args:
            graphs: A architectures.
            weak_labels: `[A, L]`, float, in any unit, NaN where missing; higher need not be better.
            folder: keeps what is needed to go on.
            label_names: names of the L labels, for the metrics; their numbers by default.
            callbacks: of Lightning, see every epoch.
            loggers: of Lightning, get `pretrain/...` metrics after every epoch.

        Raises:
            UserError: for weak labels that say nothing.
        """

    @abstractmethod
    def finetune(self, graphs: GraphBatch, accuracies: Tensor, *, round: int) -> None:  # noqa: A002
        """Fits the ranker anew to everything observed so far.

        It always starts from the pretrained weights (fresh ones without pretraining): the result is a function of
        these, the observations in their order, the ranker's seed and the round alone.

        Args:
            graphs: the n architectures that were trained.
            accuracies: `[n]`, float, percent.
            round: number of the round in the search.
        """

    @abstractmethod
    def score(self, graphs: GraphBatch) -> Tensor:
        """`[B]`, float32: higher is better, nothing else is meant by it.

        After pretraining and before the first finetuning it is the order of the weak labels, as predicted: of the
        first, or of what a ranker makes of all.
        """

    @abstractmethod
    def save(self, path: Path) -> None:
        """Writes what pretraining left to one file."""

    @abstractmethod
    def load(self, path: Path) -> None:
        """Reads what `save` wrote. Raises `UserError` where the file is not from a ranker built alike."""


class GraphRanker(Ranker):
    """A graph network: pretrained with a head per weak label, finetuned with a ranking loss (AceNAS, section 3.3).

    Finetuning forgets what pretraining taught, the more so the faster it learns, and a ranking loss with exponential
    gain cares for the very best of the few observations alone. Each of these can be switched off: batches of weak
    labels are replayed in every step (`replay_size`), the scores must order these as the weak labels do, too, the less
    so the more is observed (`prior_weight`), the scores are also regressed on the relevance (`regression_weight`), the
    ranking head starts as the head of the first weak label (`start_from_label`), and the encoder can learn more slowly
    than the ranking head (`encoder_learning_rate`).

    The prior is a weighted sum of the standardised weak labels. Before anything is observed each weighs as much as it
    correlates with the first one. They can follow what is observed from then on, by a ridge regression around these
    correlations (`prior_ridge`): a label that misleads at the top is soon found out.

    Finetuning runs for a fixed number of steps while the learning rate falls to 0, rather than until something held
    out gets worse: what could be held out of a few dozen architectures says too little about the order of the best.

    Args:
        num_node_types: of the space: values of `GraphBatch.node` are below this.
        encoder: makes the encoder, called with `num_node_types`, `num_graphs` and `num_globals` (in YAML a
            `_partial_`). Not an encoder itself, as its weights are drawn from the ranker's seed.
        loss: of scores and accuracies `[lists, items]`, see `acenas.ranking`.
        seed: drives weights, order and dropout.
        head_channels: hidden channels of the heads.
        dropout: in the heads.
        weight_decay: AdamW's, in both trainings.
        pretrain_epochs: passes over the weak labels.
        pretrain_batch_size: architectures of a step.
        pretrain_learning_rate: the highest of its schedule.
        finetune_passes: passes over the observed architectures; with `list_size=None` each is one step.
        list_size: observed architectures ranked against each other in a step; None for all.
        learning_rate: of the ranking head in finetuning, the highest of its schedule.
        encoder_learning_rate: of the encoder in finetuning.
        regression_weight: of the squared errors of the scores against the standardised relevance, beside the ranking
            loss; 0 for the ranking loss alone. LambdaRank is a sum over pairs: 10 to 40 times as large on 100.
        replay_size: weakly labelled architectures of a finetuning step; 0 for none.
        replay_weight: of their squared errors beside the ranking loss.
        prior_weight: of RankNet's loss of the replayed scores against the prior, beside the ranking loss, where nothing
            is observed; 0 for none. With a prior, its order is also that of the scores before the first finetuning.
        prior_size: observed architectures that make the prior weigh half as much.
        prior_ridge: how firmly the weights of the labels in the prior stay at their correlations, see
            `observed_weights`; above 0. None: they do not move.
        start_from_label: the ranking head starts as that of the first weak label, rather than from fresh weights.
        fresh_head: the ranking head starts from other weights in each finetuning, rather than from the same. What one
            of few observations leaves open is then guessed otherwise in the next round, much as a member of an
            ensemble would: a search does not go round in one place.
        accelerator: Lightning's; these networks are small enough for "cpu" to be the fastest.

    Raises:
        UserError: for a value outside its range.
    """

    def __init__(
        self,
        num_node_types: int,
        encoder: Callable[..., Encoder],
        loss: RankingLoss,
        seed: int = 0,
        head_channels: int = 64,
        dropout: float = 0.0,
        weight_decay: float = 1e-4,
        pretrain_epochs: int = 10,
        pretrain_batch_size: int = 128,
        pretrain_learning_rate: float = 3e-3,
        finetune_passes: int = 200,
        list_size: int | None = None,
        learning_rate: float = 3e-3,
        encoder_learning_rate: float = 3e-3,
        regression_weight: float = 0.0,
        replay_size: int = 64,
        replay_weight: float = 10.0,
        prior_weight: float = 0.0,
        prior_size: float = 10.0,
        prior_ridge: float | None = None,
        start_from_label: bool = False,
        fresh_head: bool = False,
        accelerator: str = "cpu",
    ) -> None:
        _require_at_least(
            1,
            head_channels=head_channels,
            pretrain_epochs=pretrain_epochs,
            pretrain_batch_size=pretrain_batch_size,
            finetune_passes=finetune_passes,
        )
        if list_size is not None:
            _require_at_least(2, list_size=list_size)
        _require_at_least(
            0,
            weight_decay=weight_decay,
            regression_weight=regression_weight,
            replay_size=replay_size,
            replay_weight=replay_weight,
            prior_weight=prior_weight,
        )
        if prior_weight and not (replay_size and replay_weight and prior_size > 0):
            raise UserError("ranker: prior_weight needs replay_size, replay_weight and prior_size above 0")
        if prior_ridge is not None and not prior_ridge > 0:
            raise UserError(f"ranker: prior_ridge must be above 0, or null, not {prior_ridge}")
        if fresh_head and start_from_label:
            raise UserError("ranker: choose one of fresh_head and start_from_label")
        if not 0 <= dropout < 1:
            raise UserError(f"ranker: dropout lies between 0 and 1, not at {dropout}")
        self.num_node_types = num_node_types
        self.make_encoder = encoder
        self.loss = loss
        self.seed = seed
        self.head_channels = head_channels
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.pretrain_epochs = pretrain_epochs
        self.pretrain_batch_size = pretrain_batch_size
        self.pretrain_learning_rate = pretrain_learning_rate
        self.finetune_passes = finetune_passes
        self.list_size = list_size
        self.learning_rate = learning_rate
        self.encoder_learning_rate = encoder_learning_rate
        self.regression_weight = regression_weight
        self.replay_size = replay_size
        self.replay_weight = replay_weight
        self.prior_weight = prior_weight
        self.prior_size = prior_size
        self.prior_ridge = prior_ridge
        self.start_from_label = start_from_label
        self.fresh_head = fresh_head
        self.accelerator = accelerator

        self._pretrained: RankingNetwork | None = None
        self._weakly_labelled: LabelledGraphs | None = None
        """What was pretrained on, standardised: replayed in finetuning."""
        self._label_weights = torch.zeros(0)
        """`[L]`: of each weak label in the prior while nothing is observed, and in the scores before finetuning."""
        self._network: RankingNetwork | None = None
        """The network that scores: the pretrained one, then the one of the last finetuning."""

    def pretrain(
        self,
        graphs: GraphBatch,
        weak_labels: Tensor,
        *,
        folder: Path,
        label_names: Sequence[str] = (),
        callbacks: Sequence[pl.Callback] = (),
        loggers: Sequence[Logger] = (),
    ) -> None:
        """See `Ranker.pretrain`; `folder/pretrain.ckpt` is written after every epoch."""
        names = list(label_names) or [f"label_{i}" for i in range(weak_labels.shape[1])]
        labels = _standardised(weak_labels.float(), names)
        labelled = ~labels.isnan().all(dim=1)
        graphs, labels = graphs[labelled], labels[labelled]
        network = self._fresh_network(graphs, num_labels=labels.shape[1])
        checkpoint = folder / "pretrain.ckpt"
        self._fit(
            Pretraining(network, names, self.pretrain_learning_rate, self.weight_decay, self.seed),
            PretrainingData(graphs, labels, self.pretrain_batch_size, self.seed),
            max_epochs=self.pretrain_epochs,
            reload_dataloaders_every_n_epochs=1,
            callbacks=[*callbacks, EpochCheckpoint(checkpoint)],
            logger=list(loggers) or False,
            log_every_n_steps=max(
                len(graphs) // self.pretrain_batch_size, 1
            ),  # nothing is logged within an epoch
            ckpt_path=checkpoint if checkpoint.exists() else None,
        )
        if self.start_from_label:
            network.start_ranking_from_label(0)
        self._know(network, graphs, labels)

    def _know(self, network: RankingNetwork, graphs: GraphBatch, labels: Tensor) -> None:
        """Takes in what pretraining left."""
        self._pretrained, self._network = network, network
        self._weakly_labelled = (graphs, labels)
        first = torch.eye(labels.shape[1])[0]
        self._label_weights = _correlations(labels) if self.prior_weight else first

    def finetune(self, graphs: GraphBatch, accuracies: Tensor, *, round: int) -> None:  # noqa: A002
        """See `Ranker.finetune`."""
        accuracies = accuracies.float()
        if len(graphs) != len(accuracies):
            raise ValueError(f"{len(graphs)} graphs, but {len(accuracies)} accuracies")
        if self._pretrained is None:
            network = self._fresh_network(graphs, num_labels=0)
        else:
            network = copy.deepcopy(self._pretrained)
            if self.fresh_head:
                with _seeded(self.seed, "finetune", "head", round):
                    network.forget_ranking()
        graded = relevance(accuracies).float()
        targets = (graded - graded.mean()) / graded.std(correction=0).clamp(min=1e-6)
        labels = self.loss.labels(accuracies[None], reference=accuracies)[0]
        replayed = self._weakly_labelled if self.replay_size and self.replay_weight else None
        with _seeded(self.seed, "finetune", "dropout", round):
            self._fit(
                Finetuning(
                    network,
                    self.loss,
                    self.learning_rate,
                    self.encoder_learning_rate,
                    self.weight_decay,
                    self.regression_weight,
                    self.replay_weight,
                    self.prior_weight * self.prior_size / (self.prior_size + len(graphs)),
                    self._prior_weights(graphs, targets),
                ),
                FinetuningData(
                    graphs,
                    torch.stack([labels, targets], dim=1),
                    self.list_size,
                    self.finetune_passes,
                    replayed,
                    self.replay_size,
                    self.seed,
                    round,
                ),
                max_epochs=1,
                logger=False,
            )
        self._network = network

    @torch.no_grad()
    def _prior_weights(self, graphs: GraphBatch, targets: Tensor) -> Tensor:
        """`[L]`: of each weak label in the prior, given the standardised relevance `targets` `[n]` of the observed."""
        if self._pretrained is None or self.prior_ridge is None:
            return self._label_weights
        network = self._pretrained.eval()
        labels = network.labels(network.encoder(graphs))  # as pretraining learned them
        return observed_weights(labels, targets, self._label_weights, self.prior_ridge)

    @torch.inference_mode()
    def score(self, graphs: GraphBatch) -> Tensor:
        """See `Ranker.score`."""
        if self._network is None:
            raise RuntimeError("this ranker knows nothing yet: pretrain, load or finetune it before score()")
        network = self._network.eval()
        scores = torch.zeros(len(graphs))
        for index, part in _by_size(graphs, SCORE_BATCH):
            encoded = network.encoder(part)
            # Until the ranking head has learned anything, the weak labels stand for it.
            untaught = network is self._pretrained
            scores[index] = (
                network.labels(encoded) @ self._label_weights if untaught else network.scores(encoded)
            )
        return scores

    def save(self, path: Path) -> None:
        """See `Ranker.save`: weights, and the weak labels with their graphs, which finetuning replays."""
        if self._pretrained is None or self._weakly_labelled is None:
            raise RuntimeError("there is nothing to save before pretraining")
        graphs, labels = self._weakly_labelled
        state = {
            "network": self._pretrained.state_dict(),
            "node": graphs.node.to(torch.uint8),
            "adjacency": graphs.adjacency,
            "mask": graphs.mask,
            "globals": graphs.globals,
            "labels": labels,
        }
        with atomic_path(path) as temporary:
            torch.save(state, temporary)

    def load(self, path: Path) -> None:
        """See `Ranker.load`."""
        try:
            state = torch.load(path, weights_only=True)
            graphs = GraphBatch(state["node"].long(), state["adjacency"], state["mask"], state["globals"])
            network = self._fresh_network(graphs, num_labels=state["labels"].shape[1])
            network.load_state_dict(state["network"])
        except FileNotFoundError:
            raise UserError(f"no pretrained ranker at {path}; pretrain one first") from None
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(
                f"{path} is no pretrained state of this ranker ({reason}); remove it to pretrain again"
            ) from error
        self._know(network, graphs, state["labels"])

    def _fresh_network(self, graphs: GraphBatch, num_labels: int) -> RankingNetwork:
        with _seeded(self.seed, "weights"):
            encoder = self.make_encoder(
                num_node_types=self.num_node_types,
                num_graphs=graphs.node.shape[1] if graphs.node.dim() == 3 else 1,
                num_globals=graphs.globals.shape[1],
            )
            return RankingNetwork(encoder, num_labels, self.head_channels, self.dropout)

    def _fit(
        self,
        module: pl.LightningModule,
        data: pl.LightningDataModule,
        *,
        ckpt_path: Path | None = None,
        **options: Any,
    ) -> None:
        """Lets Lightning train, without a word and without touching the caller's random state."""
        with quiet(), one_thread(), torch.random.fork_rng(devices=[]):
            trainer = pl.Trainer(
                accelerator=self.accelerator,
                devices=1,
                plugins=[LightningEnvironment()],  # one process, whatever a cluster's variables say
                enable_checkpointing=bool(options.get("callbacks")),
                enable_model_summary=False,
                enable_progress_bar=False,
                **options,
            )
            module.train()  # Lightning leaves modules as they are, and scoring sets them to evaluation
            trainer.fit(module, datamodule=data, ckpt_path=ckpt_path)
        module.cpu()


def _by_size(graphs: GraphBatch, batch_size: int) -> Iterator[tuple[Tensor, GraphBatch]]:
    """Batches of graphs of alike sizes, without the padding that all of a batch share; and where they are in `graphs`.

    In a space whose networks differ in depth half of all nodes can be padding.
    """
    if not len(graphs):
        return  # a split of nothing has one part, which is empty
    numbers = torch.arange(1, graphs.mask.shape[-1] + 1)
    sizes = (graphs.mask * numbers).flatten(1).amax(1)  # up to the last node: there may be holes before it
    for index in torch.split(sizes.argsort(stable=True), batch_size):
        part, size = graphs[index], max(int(sizes[index[-1]]), 1)
        yield (
            index,
            GraphBatch(
                part.node[..., :size], part.adjacency[..., :size, :size], part.mask[..., :size], part.globals
            ),
        )


def _standardised(weak_labels: Tensor, names: Sequence[str]) -> Tensor:
    """The labels with mean 0 and deviation 1. Raises `UserError` for a label without variation."""
    mean = weak_labels.nanmean(dim=0)
    deviation = (weak_labels - mean).square().nanmean(dim=0).sqrt()
    for name, value in zip(names, deviation, strict=True):
        if not value > 0:
            raise UserError(
                f"weak label {name}: all its values are equal or missing; leave it out of weak_labels"
            )
    return (weak_labels - mean) / deviation


def _correlations(labels: Tensor) -> Tensor:
    """`[L]`: of each standardised label `[A, L]` with the first, over the rows that have both; 0 where none has."""
    return (labels * labels[:, :1]).nanmean(dim=0).nan_to_num(nan=0.0)


def _require_at_least(least: int, **values: float) -> None:
    for name, value in values.items():
        if value < least:
            raise UserError(f"ranker: {name} must be at least {least}, not {value}")


@contextmanager
def _seeded(seed: int, *names: str | int) -> Iterator[None]:
    """Torch's global random state as the stream called `names`, as weights and dropout take no generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, *names))
        yield
