"""Rankers without a network: they look up weak labels or observed accuracies."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from acenas.errors import UserError
from acenas.ranker.data import LabelledGraphs, in_float32
from acenas.ranker.ranker import Ranker, packed, standardised, unpacked
from acenas.spaces import GraphBatch, SearchSpace


def graph_keys(graphs: GraphBatch) -> list[bytes]:
    """Returns the content of each architecture's tensors: keys are equal exactly where the graphs are."""
    parts = [
        graphs.node.short().contiguous().numpy().reshape(len(graphs), -1).view(np.uint8),
        np.packbits(graphs.adjacency.numpy().reshape(len(graphs), -1), axis=1),
        np.packbits(graphs.mask.numpy().reshape(len(graphs), -1), axis=1),
        graphs.globals.float().contiguous().numpy().view(np.uint8).reshape(len(graphs), -1),
    ]
    return [content.tobytes() for content in np.concatenate(parts, axis=1)]


class RememberingRanker(Ranker):
    """A ranker whose pretraining stores the weak labels, and which ranks by the first of them until it is finetuned.

    A ranker scores graphs, so one without a network that predicts the weak labels stores them by graph. They are
    standardised (mean 0, deviation 1). Architectures with the same graph share their mean.
    """

    def __init__(self) -> None:
        self._weakly_labelled: LabelledGraphs | None = None
        self._labels = pd.DataFrame()

    @override
    def pretrain(
        self,
        graphs: GraphBatch,
        weak_labels: Tensor,
        *,
        folder: Path,
        label_names: Sequence[str] = (),
        **_: object,
    ) -> None:
        """Stores the weak labels; writes no checkpoint and logs nothing."""
        names = list(label_names) or [f"label_{i}" for i in range(weak_labels.shape[1])]
        self._remember(graphs, standardised(in_float32(weak_labels).double(), names))

    def _remember(self, graphs: GraphBatch, labels: Tensor) -> None:
        self._weakly_labelled = graphs, labels
        self._labels = pd.DataFrame(labels.numpy(), index=graph_keys(graphs)).groupby(level=0).mean()

    def remembered(self, graphs: GraphBatch) -> NDArray[np.float64]:
        """Returns the labels `[B, L]`; 0, the mean of all, where one is missing. L is 0 without pretraining."""
        return self._labels.reindex(graph_keys(graphs)).fillna(0.0).to_numpy(np.float64, copy=True)

    @override
    def score(self, graphs: GraphBatch) -> Tensor:
        """Returns the first weak label."""
        if self._weakly_labelled is None:
            raise RuntimeError("this ranker knows nothing yet: pretrain, load or finetune it before score()")
        return torch.from_numpy(self.remembered(graphs)[:, 0]).float()

    @override
    def state(self) -> dict[str, Any]:
        if self._weakly_labelled is None:
            raise RuntimeError("there is nothing to save before pretraining")
        return packed(*self._weakly_labelled)

    @override
    def restore(self, state: dict[str, Any]) -> None:
        self._remember(*unpacked(state))


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
        if self._weakly_labelled is None:
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
        self._observed = dict(zip(graph_keys(graphs), accuracies.tolist(), strict=True))
        self._mean = float(accuracies.mean())

    @override
    def score(self, graphs: GraphBatch) -> Tensor:
        """Returns the observed accuracies, and their mean for what was not observed; 0 before the first."""
        return torch.tensor([self._observed.get(key, self._mean) for key in graph_keys(graphs)])
