"""Batches of labelled graphs, in an order that depends on nothing but a seed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from acenas.spaces.graphs import GraphBatch

LabelledGraphs = tuple[GraphBatch, Tensor]
"""B graphs and `[B, L]` or `[B]` values."""

FinetuningStep = tuple[GraphBatch, Tensor, tuple[Tensor, Tensor] | None]
"""n observed graphs and R to replay, joined; labels `[n, 2]` of the former; weak labels `[R, L]` and prior `[R]`."""

AT_ONCE = 8192
"""Architectures of the steps that are made at once."""


def in_float32(labels: Tensor) -> Tensor:
    """Weak labels `[A, L]`, NaN where missing, in float32, where distances in units of each label's spread are kept.

    Labels that float32 cannot hold so, such as 1e300 or 1e9 + 0.1, are centred and scaled first: rankers standardise
    them anyway.
    """
    columns = []
    for label in labels.double().T:
        size = label.nan_to_num(nan=0.0).abs().max().clamp(min=torch.finfo(torch.float64).tiny)
        centred = label / size - (label / size).nanmean()
        spread = centred.nan_to_num(nan=0.0).abs().max()
        held = (1e-15 < size < 1e15) and spread > 1e-4
        columns.append(label.float() if held else (centred / spread.clamp(min=1e-300)).float())
    return torch.stack(columns, dim=1) if columns else labels.float()


class TensorLoader:
    """Splits graphs and their labels into batches, in an order that `generator` shuffles, for a `SteppingModule`.

    The last architectures are dropped where they do not fill a batch.

    Args:
        graphs: A architectures.
        labels: `[A, ...]`.
        batch_size: architectures of a batch; all, where there are fewer.
        generator: of the order.
    """

    def __init__(
        self, graphs: GraphBatch, labels: Tensor, batch_size: int, generator: torch.Generator
    ) -> None:
        self.graphs = graphs
        self.labels = labels
        self.batch_size = min(batch_size, len(graphs))
        self.generator = generator

    def __len__(self) -> int:
        return -(-(len(self.graphs) // self.batch_size) // _at_once(self.batch_size))

    def __iter__(self) -> Iterator[list[LabelledGraphs]]:
        order = _batches(len(self.graphs), self.batch_size, self.generator)
        for rows in torch.split(order, _at_once(self.batch_size)):
            graphs = self.graphs[rows.flatten()]
            yield list(zip(graphs.split(self.batch_size), self.labels[rows], strict=True))


@dataclass(frozen=True)
class FinetuningLoader:
    """The steps of a finetuning: lists of observed architectures, each with weakly labelled ones to replay.

    The whole finetuning is one epoch, since the overhead of a Lightning epoch is that of several of these steps.

    Attributes:
        observed: the n architectures trained so far, with labels `[n, 2]`: those of the ranking loss
            (`RankingLoss.labels`), and the standardised relevance.
        list_size: of them in a step.
        passes: over them.
        order: shuffles them, where a list does not hold all.
        replayed: weakly labelled architectures and their labels `[A, L]`, or None.
        prior: of their scores: from positions `[B]` among them to `[B]`.
        replay_size: of them in a step, drawn with replacement.
        draws: draws them.
    """

    observed: LabelledGraphs
    list_size: int
    passes: int
    order: torch.Generator
    replayed: LabelledGraphs | None
    prior: Callable[[Tensor], Tensor]
    replay_size: int
    draws: torch.Generator

    @property
    def steps(self) -> int:
        """The number of all steps."""
        return self.passes * (len(self.observed[0]) // self.list_size)

    def __len__(self) -> int:
        return -(-self.steps // _at_once(self.list_size + self.replay_size))

    def __iter__(self) -> Iterator[list[FinetuningStep]]:
        graphs, labels = self.observed
        if self.list_size == len(graphs):  # their order says nothing
            lists = torch.arange(len(graphs)).expand(self.passes, -1)
        else:
            lists = torch.cat([_batches(len(graphs), self.list_size, self.order) for _ in range(self.passes)])
        for rows in torch.split(lists, _at_once(self.list_size + self.replay_size)):
            # Of whole lists the same tensor, so that what depends on it is computed once.
            of_rows = [labels] * len(rows) if self.list_size == len(graphs) else list(labels[rows])
            if self.replayed is None:
                parts = graphs[rows.flatten()].split(self.list_size)
                yield [(part, of_part, None) for part, of_part in zip(parts, of_rows, strict=True)]
                continue
            weakly, weak_labels = self.replayed
            drawn = torch.randint(len(weakly), (len(rows), self.replay_size), generator=self.draws)
            both = GraphBatch.cat([graphs, weakly[drawn.flatten()]])
            places = torch.arange(len(graphs), len(both)).view_as(drawn)
            parts = both[torch.cat([rows, places], dim=1).flatten()].split(self.list_size + self.replay_size)
            replayed = zip(weak_labels[drawn], self.prior(drawn.flatten()).view_as(drawn), strict=True)
            yield list(zip(parts, of_rows, replayed, strict=True))


def _batches(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Positions `[S, size]` of `count` items in batches, shuffled; the last are left out where they fill none."""
    return torch.randperm(count, generator=generator)[: count // size * size].view(-1, size)


def _at_once(size: int) -> int:
    """Of how many steps with `size` architectures the tensors are made at once."""
    return max(AT_ONCE // size, 1)
