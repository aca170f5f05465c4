"""Batches of labelled graphs, in an order that depends on nothing but a seed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from acenas.spaces.graphs import GraphBatch

LabelledGraphs = tuple[GraphBatch, Tensor]
"""B graphs and `[B, L]` or `[B]` values."""

Replayed = tuple[GraphBatch, Tensor, Tensor]
"""B graphs, their weak labels `[B, L]` and the prior `[B]` of their scores."""


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
    """Splits graphs and their labels into batches by tensor indexing, without collating single items.

    `generator` shuffles the architectures before each pass; the last ones are dropped where they do not fill a batch.

    Args:
        graphs: A architectures.
        labels: `[A, ...]`.
        batch_size: architectures of a batch; all, where there are fewer.
        generator: of the order.
        passes: over the architectures.
    """

    def __init__(
        self, graphs: GraphBatch, labels: Tensor, batch_size: int, generator: torch.Generator, passes: int = 1
    ) -> None:
        self.graphs = graphs
        self.labels = labels
        self.batch_size = min(batch_size, len(graphs))
        self.generator = generator
        self.passes = passes

    def __len__(self) -> int:
        return self.passes * (len(self.graphs) // self.batch_size)

    def __iter__(self) -> Iterator[LabelledGraphs]:
        for _ in range(self.passes):
            order = torch.randperm(len(self.graphs), generator=self.generator)
            for batch in torch.split(order, self.batch_size):
                if len(batch) == self.batch_size:
                    yield self.graphs[batch], self.labels[batch]


@dataclass(frozen=True)
class FinetuningLoader:
    """The steps of a finetuning: lists of observed architectures, each with weakly labelled ones to replay.

    The whole finetuning is one epoch, since the overhead of a Lightning epoch is that of several of these steps.

    Attributes:
        lists: the graphs of the architectures trained so far, with labels `[n, 2]`: those of the ranking loss
            (`RankingLoss.labels`), and the standardised relevance.
        replayed: weakly labelled architectures and their labels `[A, L]`, or None.
        prior: of their scores: from positions `[B]` among them to `[B]`.
        replay_size: of them in a step, drawn with replacement.
        generator: draws them.
    """

    lists: TensorLoader
    replayed: LabelledGraphs | None
    prior: Callable[[Tensor], Tensor]
    replay_size: int
    generator: torch.Generator

    def __len__(self) -> int:
        return len(self.lists)

    def __iter__(self) -> Iterator[tuple[LabelledGraphs, Replayed | None]]:
        for observed in self.lists:
            if self.replayed is None:
                yield observed, None
            else:
                graphs, labels = self.replayed
                index = torch.randint(len(graphs), (self.replay_size,), generator=self.generator)
                yield observed, (graphs[index], labels[index], self.prior(index))
