"""Rankers without a network: they look up weak labels or observed accuracies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.loggers import Logger
from torch import Tensor
from typing_extensions import override

from acenas.errors import UserError
from acenas.files import atomic_path, read_state, reading
from acenas.ranker import Ranker
from acenas.ranker.data import in_float32
from acenas.ranker.ranker import PRETRAIN_AGAIN
from acenas.spaces import GraphBatch, SearchSpace


def graph_contents(graphs: GraphBatch) -> NDArray[np.uint8]:
    """Returns the content of each architecture's tensors, `[B, bytes]`: rows are equal exactly where the graphs are."""
    parts = [
        graphs.node.short().numpy().reshape(len(graphs), -1).view(np.uint8),
        np.packbits(graphs.adjacency.numpy().reshape(len(graphs), -1), axis=1),
        np.packbits(graphs.mask.numpy().reshape(len(graphs), -1), axis=1),
        graphs.globals.float().contiguous().numpy().view(np.uint8).reshape(len(graphs), -1),
    ]
    return np.concatenate(parts, axis=1)


class WeakLabelMemory:
    """The weak labels of all architectures, looked up by the content of their graphs.

    A ranker scores graphs, so a baseline without a network to predict the weak labels stores them by graph. They are
    standardised (mean 0, deviation 1). Architectures with the same graph share their mean; a missing label is 0.

    Args:
        contents: `[U, bytes]`, see `graph_contents`.
        labels: `[U, L]`, standardised.
    """

    def __init__(self, contents: NDArray[np.uint8], labels: NDArray[np.float64]) -> None:
        self.contents = contents
        self.labels = labels
        self._row = {content.tobytes(): row for row, content in enumerate(contents)}

    @staticmethod
    def of(graphs: GraphBatch, weak_labels: Tensor, names: Sequence[str] = ()) -> WeakLabelMemory:
        """Stores `weak_labels` `[A, L]`, NaN where missing. Raises `UserError` for one without variation."""
        labels = in_float32(weak_labels).double().numpy()
        known = ~np.isnan(labels)
        for label in range(labels.shape[1]):
            column = labels[known[:, label], label]
            if len(column) == 0 or column.min() == column.max():
                name = names[label] if names else f"label_{label}"
                raise UserError(
                    f"weak label {name}: all its values are equal or missing; leave it out of weak_labels"
                )
        standardised = (labels - np.nanmean(labels, axis=0)) / np.nanstd(labels, axis=0)
        contents, group = np.unique(graph_contents(graphs), axis=0, return_inverse=True)
        sums, counts = np.zeros((2, len(contents), labels.shape[1]))
        np.add.at(sums, group.reshape(-1), np.where(known, standardised, 0.0))
        np.add.at(counts, group.reshape(-1), known)
        return WeakLabelMemory(contents, sums / np.maximum(counts, 1))

    def __call__(self, graphs: GraphBatch) -> NDArray[np.float64]:
        """Returns the labels `[B, L]`; 0, the mean, for architectures without weak labels."""
        rows = [self._row.get(content.tobytes(), -1) for content in graph_contents(graphs)]
        with_unknown = np.concatenate([self.labels, np.zeros((1, self.labels.shape[1]))])
        return with_unknown[np.array(rows, dtype=np.int64)]

    def save(self, path: Path) -> None:
        """Writes one file."""
        with atomic_path(path) as temporary:
            torch.save(
                {"contents": torch.from_numpy(self.contents), "labels": torch.from_numpy(self.labels)},
                temporary,
            )

    @staticmethod
    def load(path: Path) -> WeakLabelMemory:
        """Reads what `save` wrote. Raises `UserError` for another file."""
        state = read_state(path, PRETRAIN_AGAIN)
        with reading(path, PRETRAIN_AGAIN):
            return WeakLabelMemory(state["contents"].numpy(), state["labels"].numpy())


class RememberingRanker(Ranker):
    """A ranker whose pretraining stores the weak labels, and which ranks by the first of them until it is finetuned."""

    def __init__(self) -> None:
        self._memory: WeakLabelMemory | None = None

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
        """Stores the weak labels; writes no checkpoint and logs nothing."""
        self._memory = WeakLabelMemory.of(graphs, weak_labels, label_names)

    @override
    def score(self, graphs: GraphBatch) -> Tensor:
        """Returns the first weak label."""
        if self._memory is None:
            raise RuntimeError("this ranker knows nothing yet: pretrain, load or finetune it before score()")
        return torch.from_numpy(self._memory(graphs)[:, 0]).float()

    @override
    def save(self, path: Path) -> None:
        if self._memory is None:
            raise RuntimeError("there is nothing to save before pretraining")
        self._memory.save(path)

    @override
    def load(self, path: Path) -> None:
        self._memory = WeakLabelMemory.load(path)


class WeakLabelRanker(RememberingRanker):
    """Ranks by the first weak label, whatever was observed: the baseline of every search that learns.

    Args:
        space: unused, as nothing is learned; every ranker is constructed with it.
    """

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()

    @override
    def finetune(self, graphs: GraphBatch, accuracies: Tensor, *, round: int) -> None:
        """Learns nothing. Raises `UserError` where there are no weak labels to rank by."""
        if self._memory is None:
            raise UserError(
                "ranker=weak_label ranks by a weak label, and there is none; name one in weak_labels"
            )


class ObservedRanker(Ranker):
    """Ranks by what was observed alone: for searches without a predictor, random search and evolution.

    A trained architecture scores its observed accuracy, any other the mean of these.

    Args:
        space: unused, as nothing is learned; every ranker is constructed with it.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._observed: dict[bytes, float] = {}
        self._mean = 0.0

    @override
    def pretrain(self, graphs: GraphBatch, weak_labels: Tensor, *, folder: Path, **_: object) -> None:
        """Learns nothing from weak labels."""

    @override
    def finetune(self, graphs: GraphBatch, accuracies: Tensor, *, round: int) -> None:
        contents = (content.tobytes() for content in graph_contents(graphs))
        self._observed = dict(zip(contents, accuracies.tolist(), strict=True))
        self._mean = float(accuracies.mean())

    @override
    def score(self, graphs: GraphBatch) -> Tensor:
        """Returns the observed accuracies, and their mean for what was not observed; 0 before the first."""
        contents = graph_contents(graphs)
        return torch.tensor([self._observed.get(content.tobytes(), self._mean) for content in contents])

    @override
    def save(self, path: Path) -> None:
        """Writes an empty file."""
        with atomic_path(path) as temporary:
            temporary.touch()

    @override
    def load(self, path: Path) -> None:
        if not path.exists():
            raise UserError(f"no pretrained ranker at {path}; pretrain one first")
