"""The network that ranks, and its two trainings: on weak labels, then on what was observed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from acenas.ranker.data import LabelledGraphs
from acenas.ranker.encoders import Encoder
from acenas.ranking import RankingLoss, ranknet_loss
from acenas.seeds import derive_seed
from acenas.spaces.graphs import GraphBatch


class Heads(nn.Module):
    """Perceptrons of one hidden layer beside one another, all in one pass: small ones cost what their operations do.

    Args:
        in_channels: of what all of them read.
        hidden_channels: of each.
        count: of perceptrons, each with one output; may be 0.
        dropout: of hidden channels, between 0 and 1.
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
    def copy_from(self, others: Heads, number: int) -> None:
        """Makes the only perceptron here equal to one of `others`."""
        for own, other in zip(self.parameters(), others.parameters(), strict=True):
            own.copy_(other[number : number + 1])

    def forward(self, encoded: Tensor) -> Tensor:
        """`[B, count]` from `[B, in_channels]`."""
        hidden = F.linear(encoded, self.hidden.flatten(0, 1), self.hidden_bias.flatten()).relu()
        if self.dropout:
            hidden = F.dropout(hidden, self.dropout, self.training)
        return (hidden.view(-1, *self.out.shape) * self.out).sum(dim=2) + self.out_bias


class RankingNetwork(nn.Module):
    """An encoder with a head for every weak label and one for the ranking.

    Args:
        encoder: graphs to vectors.
        num_labels: weak labels, L; 0 without pretraining.
        head_channels: hidden channels of every head.
        dropout: in the heads, between 0 and 1.
    """

    def __init__(self, encoder: Encoder, num_labels: int, head_channels: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.label_heads = Heads(encoder.out_channels, head_channels, num_labels, dropout)
        self.ranking_head = Heads(encoder.out_channels, head_channels, 1, dropout)

    def forget_ranking(self) -> None:
        """Gives the ranking head fresh weights."""
        self.ranking_head.reset_parameters()

    def start_ranking_from_label(self, label: int) -> None:
        """Copies the head of a weak label into the ranking head, so that its order is the one to start from."""
        self.ranking_head.copy_from(self.label_heads, label)

    def labels(self, encoded: Tensor) -> Tensor:
        """The weak labels `[B, L]`, standardised, predicted from the encoded graphs `[B, out_channels]`."""
        return self.label_heads(encoded)  # type: ignore[no-any-return]

    def scores(self, encoded: Tensor) -> Tensor:
        """The scores `[B]` of the encoded graphs `[B, out_channels]`; only their order means anything."""
        return self.ranking_head(encoded).squeeze(1)  # type: ignore[no-any-return]

    def forward(self, graphs: GraphBatch) -> Tensor:
        """The scores `[B]` of the graphs."""
        return self.scores(self.encoder(graphs))


def squared_errors(predictions: Tensor, labels: Tensor) -> Tensor:
    """The mean squared error of every label over the rows where it is known, 0 where it is known nowhere.

    Args:
        predictions: `[B, L]`, float.
        labels: `[B, L]`, float, NaN where missing.

    Returns:
        `[L]`.

    >>> squared_errors(torch.tensor([[1.0, 5.0], [3.0, 5.0]]), torch.tensor([[0.0, torch.nan], [0.0, torch.nan]]))
    tensor([5., 0.])
    """
    known = ~labels.isnan()
    error = torch.where(known, predictions - labels, 0.0).square().sum(dim=0)
    return error / known.sum(dim=0).clamp(min=1)


def prior_labels(labels: Tensor, weights: Tensor) -> Tensor:
    """What the weak labels say together, `[B]`: the weighted sum of the standardised `labels` `[B, L]`.

    One that is missing (NaN) counts as the mean of all.
    """
    return labels.nan_to_num(nan=0.0) @ weights


def observed_weights(labels: Tensor, targets: Tensor, before: Tensor, strength: float) -> Tensor:
    """How much each weak label says about what is observed: a ridge regression around `before` rather than around 0.

    Args:
        labels: `[n, L]`, float, of the observed architectures.
        targets: `[n]`, float, with mean 0: what is observed of them.
        before: `[L]`: the weights while nothing is observed.
        strength: how firmly these hold; above 0.

    Returns:
        `[L]`.
    """
    labels = labels - labels.mean(dim=0)
    missed = targets - labels @ before
    hold = strength * torch.eye(len(before), dtype=labels.dtype)
    correction: Tensor = torch.linalg.solve(labels.T @ labels + hold, labels.T @ missed)
    return before + correction


class Pretraining(pl.LightningModule):
    """Learns the weak labels: the sum over them of the mean squared error.

    Args:
        network: is trained in place.
        label_names: of the weak labels, for the metrics `pretrain/<name>_mse`.
        learning_rate: the highest; it warms up over the first tenth of the steps, then falls to 0 as a cosine.
        weight_decay: AdamW's.
        seed: of the run; dropout is a function of (seed, epoch).
    """

    def __init__(
        self,
        network: RankingNetwork,
        label_names: Sequence[str],
        learning_rate: float,
        weight_decay: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.network = network
        self.label_names = list(label_names)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.seed = seed
        self._errors: list[Tensor] = []

    def on_train_epoch_start(self) -> None:
        """Seeds dropout."""
        torch.manual_seed(derive_seed(self.seed, "pretrain", "dropout", self.current_epoch))
        self._errors = []

    def training_step(self, batch: LabelledGraphs, batch_index: int) -> Tensor:
        """The loss of one batch."""
        graphs, labels = batch
        errors = squared_errors(self.network.labels(self.network.encoder(graphs)), labels)
        self._errors.append(errors.detach())
        return errors.sum()

    def on_train_epoch_end(self) -> None:
        """Logs the means over the epoch. Logging every step would take longer than the step."""
        errors = torch.stack(self._errors).mean(dim=0)
        metrics = {"epoch": float(self.current_epoch), "pretrain/loss": float(errors.sum())}
        metrics |= {
            f"pretrain/{name}_mse": float(e) for name, e in zip(self.label_names, errors, strict=True)
        }
        # `self.log` would write them after the checkpoint of this epoch: a run killed in between would lack them.
        for logger in self.loggers:
            logger.log_metrics(metrics, step=self.global_step - 1)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW with warm-up and cosine decay."""
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay, fused=True
        )
        return _with_schedule(optimizer, int(self.trainer.estimated_stepping_batches))


class Finetuning(pl.LightningModule):
    """Learns the order of the observed architectures, and goes on with the weak labels so as not to forget them.

    The loss of a step is the ranking loss of a list, plus `regression_weight` times the mean squared error of the
    scores against the standardised relevance, plus `replay_weight` times that of the weak labels, plus `prior_weight`
    times RankNet's loss of the scores against `prior_labels`. LambdaRank alone cares for the very best of the list
    only; the regression makes the scores follow the whole upper part, smoothly, and so finds better ones among what
    was not observed yet.

    Args:
        network: is trained in place.
        loss: of scores and what it learns from (`RankingLoss.labels`), both `[lists, items]`.
        learning_rate: of the ranking head, the highest; warm-up and decay as in pretraining.
        encoder_learning_rate: of the encoder and the heads of weak labels.
        weight_decay: AdamW's.
        regression_weight: 0 for the ranking loss alone.
        replay_weight: 0 to let the weak labels go.
        prior_weight: 0 for scores that know the weak labels by the encoder alone.
        label_weights: `[L]`, of the standardised weak labels in the prior.
    """

    label_weights: Tensor

    def __init__(
        self,
        network: RankingNetwork,
        loss: RankingLoss,
        learning_rate: float,
        encoder_learning_rate: float,
        weight_decay: float,
        regression_weight: float,
        replay_weight: float,
        prior_weight: float,
        label_weights: Tensor,
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.learning_rate = learning_rate
        self.encoder_learning_rate = encoder_learning_rate
        self.weight_decay = weight_decay
        self.regression_weight = regression_weight
        self.replay_weight = replay_weight
        self.prior_weight = prior_weight
        self.register_buffer("label_weights", label_weights)

    def training_step(self, batch: tuple[LabelledGraphs, LabelledGraphs | None], batch_index: int) -> Tensor:
        """The loss of one list, and of what is replayed beside it."""
        (graphs, observed), replayed = batch
        labels, targets = observed.unbind(dim=1)
        network = self.network
        if replayed is None:
            scores = network.scores(network.encoder(graphs))
        else:
            encoded = network.encoder(GraphBatch.cat([graphs, replayed[0]]))  # one pass for both is cheaper
            scores, others = network.scores(encoded).tensor_split([len(graphs)])
        loss = self.loss.from_labels(scores.unsqueeze(0), labels.unsqueeze(0))
        if self.regression_weight:
            loss = loss + self.regression_weight * (scores - targets).square().mean()
        if replayed is not None:
            errors = squared_errors(network.labels(encoded[len(graphs) :]), replayed[1])
            loss = loss + self.replay_weight * errors.mean()
            if self.prior_weight:
                prior = prior_labels(replayed[1], self.label_weights)
                loss = loss + self.prior_weight * ranknet_loss(others.unsqueeze(0), prior.unsqueeze(0))
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW with warm-up and cosine decay."""
        network = self.network
        rates = {
            self.encoder_learning_rate: [*network.encoder.parameters(), *network.label_heads.parameters()]
        }
        rates[self.learning_rate] = [*rates.get(self.learning_rate, []), *network.ranking_head.parameters()]
        optimizer = torch.optim.AdamW(
            [{"params": parameters, "lr": rate} for rate, parameters in rates.items()],
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
            fused=True,
        )
        return _with_schedule(optimizer, int(self.trainer.estimated_stepping_batches))


def _with_schedule(optimizer: torch.optim.Optimizer, steps: int) -> OptimizerLRScheduler:
    """A linear warm-up over the first tenth of the steps, then a cosine to 0: stops at a rest, at a known time."""
    warmup = max(steps // 10, 1)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1)))

    scheduler = LambdaLR(optimizer, factor)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
