"""The ranking network and its two trainings: on weak labels, then on observed architectures."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, cast

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from typing_extensions import override

from acenas.ranker.data import FinetuningStep, LabelledGraphs, TensorLoader
from acenas.ranker.encoders import Encoder
from acenas.ranker.settings import Finetuning, Optimization, Pretraining
from acenas.ranking import RankingLoss, ndcg_at_k
from acenas.ranking.functional import ranknet_loss
from acenas.seeds import derive_seed, torch_generator
from acenas.spaces.graphs import GraphBatch
from acenas.training.lightning import log_epoch


class Heads(nn.Module):
    """`count` perceptrons with one hidden layer, one output and a shared input, evaluated in one batched pass.

    The time of networks this small is the number of their operations, so one pass for all is the fastest.
    """

    def __init__(self, in_channels: int, hidden_channels: int, count: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.hidden = nn.Parameter(torch.empty(count, hidden_channels, in_channels))
        self.hidden_bias = nn.Parameter(torch.empty(count, hidden_channels))
        self.out = nn.Parameter(torch.empty(count, hidden_channels))
        self.out_bias = nn.Parameter(torch.empty(count))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws fresh weights, as `nn.Linear` does."""
        for weight, bias in ((self.hidden, self.hidden_bias), (self.out, self.out_bias)):
            bound = weight.shape[-1] ** -0.5
            nn.init.uniform_(weight, -bound, bound)
            nn.init.uniform_(bias, -bound, bound)

    @torch.no_grad()
    def copy_from(self, others: Heads) -> None:
        """Makes the only perceptron here equal to the first of `others`."""
        for own, other in zip(self.parameters(), others.parameters(), strict=True):
            own.copy_(other[:1])

    def forward(self, encoded: Tensor) -> Tensor:
        """`[B, count]` from `[B, in_channels]`."""
        hidden = F.linear(encoded, self.hidden.flatten(0, 1), self.hidden_bias.flatten()).relu()
        if self.dropout:
            hidden = F.dropout(hidden, self.dropout, self.training)
        return (hidden.view(-1, *self.out.shape) * self.out).sum(dim=2) + self.out_bias


class RankingNetwork(nn.Module):
    """An encoder with a head for each of `num_labels` weak labels (0 without pretraining) and one for the ranking.

    `label_heads` predict the standardised weak labels `[B, L]` from what the encoder returns, `[B, out_channels]`.
    """

    def __init__(self, encoder: Encoder, num_labels: int, head_channels: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.label_heads = Heads(encoder.out_channels, head_channels, num_labels, dropout)
        self.ranking_head = Heads(encoder.out_channels, head_channels, 1, dropout)

    def scores(self, encoded: Tensor) -> Tensor:
        """The scores `[B]` of the encoded graphs `[B, out_channels]`; only their order means anything."""
        return self.ranking_head(encoded).squeeze(1)  # type: ignore[no-any-return]

    def forward(self, graphs: GraphBatch) -> Tensor:
        """The scores `[B]` of the graphs."""
        return self.scores(self.encoder(graphs))


def squared_errors(predictions: Tensor, labels: Tensor) -> Tensor:
    """Returns the mean squared error `[L]` of each label over the rows where it is not missing, 0 where all are.

    Both arguments are `[B, L]`, float; labels are NaN where missing.

    >>> squared_errors(torch.tensor([[1.0, 5.0], [3.0, 5.0]]), torch.tensor([[0.0, torch.nan], [0.0, torch.nan]]))
    tensor([5., 0.])
    """
    known = ~labels.isnan()
    error = torch.where(known, predictions - labels, 0.0).square().sum(dim=0)
    return error / known.sum(dim=0).clamp(min=1)


class SteppingModule(pl.LightningModule):
    """A training in which a batch of Lightning's loop is a list of steps: its overhead is that of half a small step.

    Args:
        network: is trained in place.
        optimization: how.
        steps: of the whole training.

    Attributes:
        ended: whether the steps that are left are not made.
    """

    ended = False

    def __init__(self, network: RankingNetwork, optimization: Optimization, steps: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = network
        self.optimization = optimization
        self.steps = steps

    @abstractmethod
    def rates(self) -> dict[float, list[nn.Parameter]]:
        """Returns the parameters to train, by their highest learning rate."""

    @abstractmethod
    def loss_of(self, step: Any) -> Tensor:
        """Returns the loss of one step."""

    def training_step(self, steps: Iterable[Any], batch_index: int) -> None:
        """Makes the steps."""
        optimizer, scheduler = self.trainer.optimizers[0], cast(LambdaLR, self.lr_schedulers())
        for joined, parameters in self._joined:
            _join_gradients(joined, parameters)
        for step in steps:
            if self.ended:
                break
            optimizer.zero_grad(set_to_none=False)
            torch.autograd.backward(self.loss_of(step))
            optimizer.step()
            scheduler.step()
        self.network.zero_grad()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam with warm-up and cosine decay, see `Optimization`."""
        settings = self.optimization
        warmup = max(int(self.steps * settings.warmup), 1)

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / warmup
            return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(self.steps - warmup, 1)))

        rates = self.rates()
        self._joined = [(_joined(parameters), parameters) for parameters in rates.values()]
        groups = [{"params": [one], "lr": rate} for rate, (one, _) in zip(rates, self._joined, strict=True)]
        kind = torch.optim.AdamW if settings.decoupled else torch.optim.Adam
        optimizer = kind(groups, weight_decay=settings.weight_decay, fused=True)
        return [optimizer], [LambdaLR(optimizer, factor)]


def _joined(parameters: list[nn.Parameter]) -> nn.Parameter:
    """Makes the values of parameters parts of one: an optimizer's time is the number of its tensors."""
    joined = nn.Parameter(torch.cat([parameter.detach().flatten() for parameter in parameters]))
    for parameter, part in zip(parameters, _parts(joined.detach(), parameters), strict=True):
        parameter.data = part
    return joined


def _join_gradients(joined: nn.Parameter, parameters: list[nn.Parameter]) -> None:
    joined.grad = torch.zeros_like(joined)
    for parameter, part in zip(parameters, _parts(joined.grad, parameters), strict=True):
        parameter.grad = part


def _parts(joined: Tensor, parameters: list[nn.Parameter]) -> list[Tensor]:
    split = torch.split(joined, [parameter.numel() for parameter in parameters])
    return [part.view_as(parameter) for part, parameter in zip(split, parameters, strict=True)]


class PretrainingModule(SteppingModule):
    """Learns the weak labels: the sum over them of the mean squared error.

    The order of an epoch and its dropout are functions of (seed, epoch); the trainer must ask for the batches anew in
    every epoch (`reload_dataloaders_every_n_epochs=1`).

    Args:
        network: is trained in place.
        graphs: A architectures.
        labels: `[A, L]`, standardised, NaN where missing.
        label_names: of the weak labels, for the metrics `pretrain/<name>_mse`.
        settings: batch size and optimization.
        seed: of the run.
    """

    def __init__(
        self,
        network: RankingNetwork,
        graphs: GraphBatch,
        labels: Tensor,
        label_names: Sequence[str],
        settings: Pretraining,
        seed: int,
    ) -> None:
        self.steps_of_epoch = len(graphs) // min(settings.batch_size, len(graphs))
        super().__init__(network, settings, settings.epochs * self.steps_of_epoch)
        self.graphs, self.labels, self.label_names = graphs, labels, label_names
        self.settings = settings
        self.seed = seed

    def train_dataloader(self) -> TensorLoader:
        """The batches of the current epoch."""
        generator = torch_generator(self.seed, "pretrain", "order", self.current_epoch)
        return TensorLoader(self.graphs, self.labels, self.settings.batch_size, generator)

    def on_train_epoch_start(self) -> None:
        """Seeds dropout."""
        torch.manual_seed(derive_seed(self.seed, "pretrain", "dropout", self.current_epoch))
        self._errors: list[Tensor] = []

    @override
    def rates(self) -> dict[float, list[nn.Parameter]]:
        parts = (self.network.encoder, self.network.label_heads)
        return {self.settings.learning_rate: [each for part in parts for each in part.parameters()]}

    @override
    def loss_of(self, step: LabelledGraphs) -> Tensor:
        graphs, labels = step
        errors = squared_errors(self.network.label_heads(self.network.encoder(graphs)), labels)
        self._errors.append(errors.detach())
        return errors.sum()

    def on_train_epoch_end(self) -> None:
        """Logs the means over the epoch. Logging every step would take longer than the step."""
        errors = torch.stack(self._errors).mean(dim=0)
        by_label = {f"pretrain/{name}_mse": e for name, e in zip(self.label_names, errors, strict=True)}
        step = (self.current_epoch + 1) * self.steps_of_epoch - 1
        log_epoch(self, {"pretrain/loss": errors.sum()} | by_label, step)


class FinetuningModule(SteppingModule):
    """Learns the order of the observed architectures, and goes on with the weak labels so as not to forget them.

    The loss of a step is the ranking loss of a list, plus `regression_weight` times the mean squared error of the
    scores against the standardised relevance, plus `replay_weight` times that of the weak labels, plus `prior_weight`
    times RankNet's loss of the scores against the prior.

    Args:
        network: is trained in place.
        loss: of scores and what it learns from (`RankingLoss.labels`), both `[lists, items]`.
        settings: optimization, and weights of the losses.
        steps: of the finetuning.
        replays: whether weak labels are replayed in them.
        prior_weight: of the prior's loss; 0 for none.
    """

    def __init__(
        self,
        network: RankingNetwork,
        loss: RankingLoss,
        settings: Finetuning,
        steps: int,
        replays: bool,
        prior_weight: float,
    ) -> None:
        super().__init__(network, settings, steps)
        self.loss = loss
        self.settings = settings
        self.replays = replays
        self.prior_weight = prior_weight
        self._observed: Tensor | None = None
        """Of the last step, with the ranking loss for it: of lists that hold all it is made once."""
        self._ndcg: list[float] = []
        """Of the lists of each step, where `settings.patience` asks for it."""

    @override
    def rates(self) -> dict[float, list[nn.Parameter]]:
        network, settings = self.network, self.settings
        encoder = list(network.encoder.parameters())
        if self.replays:
            encoder += network.label_heads.parameters()
        rates = {settings.encoder_learning_rate: encoder}
        head = rates.setdefault(settings.learning_rate, [])
        head += network.ranking_head.parameters()
        return rates

    @override
    def loss_of(self, step: FinetuningStep) -> Tensor:
        graphs, observed, replayed = step
        if observed is not self._observed:
            labels, self._targets = observed.unbind(dim=1)
            self._observed, self._loss_of_list = observed, self.loss.for_labels(labels.unsqueeze(0))
        network, settings = self.network, self.settings
        encoded = network.encoder(graphs)  # one pass for both is cheaper
        scores, others = network.scores(encoded).tensor_split([len(observed)])
        loss = self._loss_of_list(scores.unsqueeze(0))
        if settings.patience:
            self._ndcg.append(ndcg_at_k(scores.detach(), observed[:, 0], len(observed)))
            self.ended = self._waited_for(settings.patience)
        if settings.regression_weight:
            loss = loss + settings.regression_weight * (scores - self._targets).square().mean()
        if replayed is not None:
            weak_labels, prior = replayed
            errors = squared_errors(network.label_heads(encoded[len(observed) :]), weak_labels)
            loss = loss + settings.replay_weight * errors.mean()
            if self.prior_weight:
                loss = loss + self.prior_weight * ranknet_loss(others.unsqueeze(0), prior.unsqueeze(0))
        return loss

    def _waited_for(self, patience: int) -> bool:
        """Whether no NDCG of the last `patience` passes, the mean over each pass' lists, is above the best before."""
        lists = self.steps // self.settings.passes
        passes = [sum(self._ndcg[i : i + lists]) for i in range(0, len(self._ndcg) - lists + 1, lists)]
        return len(passes) > patience and max(passes[-patience:]) <= max(passes[:-patience])
