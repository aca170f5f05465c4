"""Rankers: pretrained on weak labels and finetuned on few observations, they score architectures."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger
from torch import Tensor
from typing_extensions import override

from acenas.errors import UserError, require_at_least
from acenas.files import atomic_path, read_state, reading
from acenas.ranker.data import FinetuningLoader, LabelledGraphs, in_float32
from acenas.ranker.encoders import BidirectionalEncoder, Encoder
from acenas.ranker.module import (
    FinetuningModule,
    PretrainingModule,
    RankingNetwork,
)
from acenas.ranker.prior import EXPECTED_AGREEMENT, CorrectedPrior
from acenas.ranker.settings import LARGEST, Finetuning, Pretraining, Prior
from acenas.ranking import LambdaRankLoss, RankingLoss, relevance
from acenas.ranking.losses import RelevanceLoss
from acenas.seeds import seeded, torch_generator
from acenas.spaces import GraphBatch, SearchSpace
from acenas.training.lightning import fit, one_thread

SCORE_BATCH = 512
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
        """Learns from weak labels. Called again with the same folder after a kill, it resumes.

        Args:
            graphs: A architectures.
            weak_labels: `[A, L]`, float, in any unit, NaN where missing; higher need not be better.
            folder: keeps what is needed to resume.
            label_names: names of the L labels, for the metrics; their numbers by default.
            callbacks: Lightning's, called in every epoch.
            loggers: Lightning's, receive `pretrain/...` metrics after every epoch.

        Raises:
            UserError: for a weak label whose values are all equal or missing.
        """

    @abstractmethod
    def finetune(self, graphs: GraphBatch, accuracies: Tensor, *, round: int) -> None:  # noqa: A002
        """Fits the ranker anew to everything observed so far.

        It starts from the pretrained weights (fresh ones without pretraining): the result is a function of these, the
        observations in their order, the ranker's seed and the round alone. Or, where the ranker `continues`, it starts
        from what it was fitted to last, and a study calls `forget` and all rounds again where it was not the last one.

        Args:
            graphs: the n architectures that were trained.
            accuracies: `[n]`, float, percent.
            round: number of the round in the search.
        """

    @abstractmethod
    def score(self, graphs: GraphBatch) -> Tensor:
        """Returns the scores `[B]`, float32: higher is better, and nothing but their order has a meaning.

        After pretraining and before the first finetuning, the order is that of the predicted weak labels: of the first
        one, or of a combination of all.
        """

    @property
    def continues(self) -> bool:
        """Whether `finetune` starts from the weights of the last round."""
        return False

    def forget(self) -> None:  # noqa: B027 (most remember nothing)
        """Forgets all observations."""

    def state(self) -> dict[str, Any]:
        """Returns what pretraining has learned, of tensors: nothing by default. Raises `RuntimeError` before it."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:  # noqa: B027 (nothing to restore is the rule)
        """Learns what another ranker's `state` holds. Raises any error for one of a ranker with other arguments."""

    def save(self, path: Path) -> None:
        """Writes `state` to one file."""
        with atomic_path(path) as temporary:
            torch.save(self.state(), temporary)

    def load(self, path: Path) -> None:
        """Restores what `save` wrote. Raises `UserError` for the file of a ranker with other arguments."""
        remedy = "remove it to pretrain again"
        state = read_state(path, remedy)
        with reading(path, remedy):
            self.restore(state)


@dataclass(eq=False)
class GraphRanker(Ranker):
    """A graph network: pretrained with a head per weak label, finetuned with a ranking loss (AceNAS, section 3.3).

    Finetuning at a high learning rate forgets the pretraining, and a ranking loss with exponential gain depends on the
    very best of the few observations alone. So each step also replays a batch of weak labels (`Finetuning.replay_size`)
    and trains the scores to order this batch as the weak labels do, less so the more is observed (`Prior`).

    Attributes:
        space: of the architectures to rank.
        encoder: makes the encoder, called with `num_node_types`, `num_graphs` and `num_globals` (in YAML a
            `_partial_`). Not an encoder itself, as its weights are drawn from the ranker's seed.
        loss: of scores and accuracies `[lists, items]`, see `acenas.ranking`.
        seed: drives weights, order and dropout.
        head_channels: hidden channels of the heads.
        dropout: in the heads.
        pretraining: the training on weak labels.
        finetuning: the training on observed architectures.
        prior: the order of the weak labels as a prior of the scores.
        accelerator: Lightning's; these networks are small enough for "cpu" to be the fastest.

    Raises:
        UserError: for a value outside its range.
    """

    space: SearchSpace
    encoder: Callable[..., Encoder] = BidirectionalEncoder
    loss: RankingLoss = field(default_factory=LambdaRankLoss)
    seed: int = 0
    head_channels: int = 64
    dropout: float = 0.0
    pretraining: Pretraining = Pretraining()  # noqa: RUF009 (frozen)
    finetuning: Finetuning = Finetuning()  # noqa: RUF009 (frozen)
    prior: Prior = Prior()  # noqa: RUF009 (frozen)
    accelerator: Literal["cpu", "gpu", "mps", "auto"] = "cpu"

    def __post_init__(self) -> None:
        require_at_least(1, "ranker.", LARGEST, head_channels=self.head_channels)
        if not 0 <= self.dropout < 1:
            raise UserError(f"ranker: dropout lies between 0 and 1, not at {self.dropout}")
        if self.prior.weight and not (self.finetuning.replay_size and self.finetuning.replay_weight):
            raise UserError(
                "ranker.prior.weight needs ranker.finetuning.replay_size and ranker.finetuning.replay_weight above 0"
            )
        if self.finetuning.patience and not isinstance(self.loss, RelevanceLoss):
            raise UserError(
                "ranker.finetuning.patience waits for a better NDCG: choose a loss of relevance, as loss=lambdarank"
            )
        self._pretrained: RankingNetwork | None = None
        self._weakly_labelled: LabelledGraphs | None = None
        """The pretraining data with standardised labels: replayed in finetuning."""
        self._predicted_labels: Tensor | None = None
        """`[A, L]`: of these, as predicted by the pretrained network; made when the prior needs them."""
        self._label_weights = torch.zeros(0)
        """`[L]`: weights of the labels in the prior where nothing is observed, and in the scores before finetuning."""
        self._network: RankingNetwork | None = None
        """The network that scores: the pretrained one, then the one of the last finetuning."""

    @override
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
        """Pretrains as `Ranker.pretrain` says; writes `folder/pretrain.ckpt` after every epoch."""
        names = list(label_names) or [f"label_{i}" for i in range(weak_labels.shape[1])]
        labels = standardised(in_float32(weak_labels), names)
        labelled = ~labels.isnan().all(dim=1)
        graphs, labels = graphs[labelled], labels[labelled]
        if self.pretraining.samples is not None:
            drawn = torch.randperm(len(graphs), generator=torch_generator(self.seed, "pretrain", "samples"))
            drawn = drawn[: self.pretraining.samples]
            graphs, labels = graphs[drawn], labels[drawn]
        network = self._fresh_network(graphs, num_labels=labels.shape[1])
        settings = self.pretraining
        self._fit(
            PretrainingModule(network, graphs, labels, names, settings, self.seed),
            None,
            folder / "pretrain.ckpt",
            callbacks,
            loggers,
            max_epochs=settings.epochs,
            log_every_n_steps=1,  # more than there are batches is a warning; nothing is logged within an epoch
        )
        if self.finetuning.start_from_label:
            network.ranking_head.copy_from(network.label_heads)
        self._set_pretrained(network, graphs, labels)

    def _set_pretrained(self, network: RankingNetwork, graphs: GraphBatch, labels: Tensor) -> None:
        """Takes a pretrained network, and the standardised labels that it was trained on."""
        self._pretrained, self._network = network, network
        self._weakly_labelled, self._predicted_labels = (graphs, labels), None
        first = torch.eye(labels.shape[1])[0]
        self._label_weights = _correlations(labels) if self.prior.weight else first

    @override
    def finetune(self, graphs: GraphBatch, accuracies: Tensor, *, round: int) -> None:
        accuracies, settings = accuracies.float(), self.finetuning.bounded(len(graphs))
        if len(graphs) != len(accuracies):
            raise ValueError(f"{len(graphs)} graphs, but {len(accuracies)} accuracies")
        before = self._network if settings.keep_weights else self._pretrained
        if before is None:
            network = self._fresh_network(graphs, num_labels=0)
        else:
            network = copy.deepcopy(before)
            if settings.fresh_head:
                with seeded(self.seed, "finetune", "head", round):
                    network.ranking_head.reset_parameters()
        # Computed again although some losses have it in `labels`: theirs is float32, and the last bits would differ.
        graded = relevance(accuracies).float()
        targets = (graded - graded.mean()) / graded.std(correction=0).clamp(min=1e-6)
        labels = self.loss.labels(accuracies[None], reference=accuracies)[0]
        replayed = self._weakly_labelled if settings.replay_size and settings.replay_weight else None
        prior: Callable[[Tensor], Tensor] = torch.zeros_like  # of positions: nothing is said of any
        if replayed is not None and self.prior.weight:
            with one_thread():
                prior = self._prior_of_replayed(graphs, targets)
        steps = FinetuningLoader(
            (graphs, torch.stack([labels, targets], dim=1)),
            min(settings.list_size or len(graphs), len(graphs)),
            settings.passes,
            torch_generator(self.seed, "finetune", "order", round),
            replayed,
            prior,
            settings.replay_size,
            torch_generator(self.seed, "finetune", "replay", round),
        )
        prior_weight = self.prior.weight_after(len(graphs))
        module = FinetuningModule(
            network, self.loss, settings, steps.steps, replayed is not None, prior_weight
        )
        with seeded(self.seed, "finetune", "dropout", round):
            self._fit(module, steps, None, max_epochs=1)
        self._network = network

    @property
    @override
    def continues(self) -> bool:
        return self.finetuning.keep_weights

    @override
    def forget(self) -> None:
        self._network = self._pretrained

    @torch.no_grad()
    def _prior_of_replayed(self, graphs: GraphBatch, targets: Tensor) -> Callable[[Tensor], Tensor]:
        """Returns the prior: from positions `[B]` among the weakly labelled architectures to `[B]`.

        Args:
            graphs: the n observed architectures.
            targets: `[n]`, their standardised relevance.
        """
        assert self._pretrained is not None and self._weakly_labelled is not None
        pool, labels = self._weakly_labelled
        if not self.prior.corrected:
            summed = labels.nan_to_num(nan=0.0) @ self._label_weights  # a missing label counts as the mean
            return lambda index: summed[index]
        if self._predicted_labels is None:
            self._predicted_labels = self._predict_labels(pool)
        predicted, weights = self._predicted_labels, self._label_weights.double()
        before = predicted @ weights
        weights *= EXPECTED_AGREEMENT / before.std().clamp(min=1e-6)
        features = self.space.features(self.space.num_node_types)
        features.fit(graphs)

        def inputs(graphs: GraphBatch, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            return torch.from_numpy(features.rows(graphs)), labels, labels @ weights

        observed = inputs(graphs, self._predict_labels(graphs))
        corrected = CorrectedPrior(*observed, targets.double())
        return lambda index: corrected.predict(*inputs(pool[index], predicted[index])).float()

    def _predict_labels(self, graphs: GraphBatch) -> Tensor:
        """Returns the standardised weak labels `[B, L]`, float64, that the pretrained network predicts."""
        assert self._pretrained is not None
        network = self._pretrained.eval()
        labels = torch.zeros(len(graphs), len(self._label_weights), dtype=torch.float64)
        for index, part in _by_size(graphs, SCORE_BATCH):
            labels[index] = network.label_heads(network.encoder(part)).double()
        return labels

    @override
    @torch.inference_mode()
    def score(self, graphs: GraphBatch) -> Tensor:
        if self._network is None:
            raise RuntimeError("this ranker knows nothing yet: pretrain, load or finetune it before score()")
        network = self._network.eval()
        scores = torch.zeros(len(graphs))
        for index, part in _by_size(graphs, SCORE_BATCH):
            encoded = network.encoder(part)
            if network is self._pretrained:  # the ranking head has not been trained yet
                scores[index] = network.label_heads(encoded) @ self._label_weights
            else:
                scores[index] = network.scores(encoded)
        return scores

    def state(self) -> dict[str, Any]:
        """Returns the weights, and the weak labels with their graphs, which finetuning replays."""
        if self._pretrained is None or self._weakly_labelled is None:
            raise RuntimeError("there is nothing to save before pretraining")
        return {"network": self._pretrained.state_dict(), **packed(*self._weakly_labelled)}

    @override
    def restore(self, state: dict[str, Any]) -> None:
        graphs, labels = unpacked(state)
        network = self._fresh_network(graphs, num_labels=labels.shape[1])
        network.load_state_dict(state["network"])
        self._set_pretrained(network, graphs, labels)

    def _fresh_network(self, graphs: GraphBatch, num_labels: int) -> RankingNetwork:
        with seeded(self.seed, "weights"):
            encoder = self.encoder(
                num_node_types=self.space.num_node_types,
                num_graphs=graphs.node.shape[1] if graphs.node.dim() == 3 else 1,
                num_globals=graphs.globals.shape[1],
            )
            return RankingNetwork(encoder, num_labels, self.head_channels, self.dropout)

    def _fit(self, module: pl.LightningModule, *args: Any, **options: Any) -> None:
        """Calls `fit` on one thread."""
        module.train()  # Lightning leaves modules as they are, and scoring sets them to evaluation
        with one_thread():
            fit(module, *args, accelerator=self.accelerator, **options)
        module.cpu()


def _by_size(graphs: GraphBatch, batch_size: int) -> Iterator[tuple[Tensor, GraphBatch]]:
    """Yields batches of graphs of similar sizes with their positions, without the padding that all of a batch share."""
    if not len(graphs):
        return  # a split of nothing has one part, which is empty
    numbers = torch.arange(1, graphs.mask.shape[-1] + 1)
    sizes = (graphs.mask * numbers).flatten(1).amax(1)  # up to the last node: there may be holes before it
    for index in torch.split(sizes.argsort(stable=True), batch_size):
        part, size = graphs[index], max(int(sizes[index[-1]]), 1)
        adjacency = part.adjacency[..., :size, :size]
        yield index, GraphBatch(part.node[..., :size], adjacency, part.mask[..., :size], part.globals)


def standardised(weak_labels: Tensor, names: Sequence[str]) -> Tensor:
    """Returns the labels `[A, L]` with mean 0 and deviation 1. Raises `UserError` for a label without variation."""
    mean = weak_labels.nanmean(dim=0)
    deviation = (weak_labels - mean).square().nanmean(dim=0).sqrt()
    for name, value in zip(names, deviation, strict=True):
        if not value > 0:
            raise UserError(
                f"weak label {name}: all its values are equal or missing; leave it out of weak_labels"
            )
    return (weak_labels - mean) / deviation


def packed(graphs: GraphBatch, labels: Tensor) -> dict[str, Tensor]:
    """Returns weakly labelled graphs as tensors of a ranker's state."""
    return {**vars(graphs), "node": graphs.node.short(), "labels": labels}


def unpacked(state: dict[str, Any]) -> LabelledGraphs:
    """Reverses `packed`."""
    graphs = GraphBatch(state["node"].long(), state["adjacency"], state["mask"], state["globals"])
    return graphs, state["labels"]


def _correlations(labels: Tensor) -> Tensor:
    """Returns the correlation `[L]` of each standardised label `[A, L]` with the first, 0 where no row has both."""
    return (labels * labels[:, :1]).nanmean(dim=0).nan_to_num(nan=0.0)
