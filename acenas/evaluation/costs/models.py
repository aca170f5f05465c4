"""Cost models: a column of a table, or costs counted on the network."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from acenas.spaces.base import SearchSpace
from acenas.tables import BenchmarkTable


class CostModel(ABC):
    """One cost of all architectures of a space.

    Attributes:
        name: such as `params_m`, `macs_m` or `flops_m` (millions), or `latency_ms.<device>` (milliseconds).
        origin: where the values come from and how accurate they are, for people.
    """

    name: str
    origin: str

    @abstractmethod
    def values(self, archs: Sequence[str]) -> NDArray[np.float64]:
        """Returns ``[A]`` float64, the costs of `archs` in their order; NaN where one is not known."""


class TableCosts(CostModel):
    """A column of a benchmark table, for a cost of any name."""

    def __init__(self, table: BenchmarkTable, column: str, name: str) -> None:
        self.name = name
        self.origin = f"{column} of the table {table.path.stem}"
        self._table, self._values = table, table.column(column)

    @override
    def values(self, archs: Sequence[str]) -> NDArray[np.float64]:
        rows = self._table.find(archs)
        return np.where(rows < 0, np.nan, self._values[rows])


class CountedCosts(CostModel):
    """Parameters or operations, counted on the network (`acenas.spaces.cost`).

    Args:
        space: builds the networks.
        num_classes: of their output.
        image_shape: `(channels, height, width)`.
        name: `params_m`, `macs_m` or `flops_m`.
    """

    def __init__(
        self, space: SearchSpace, num_classes: int, image_shape: tuple[int, int, int], name: str
    ) -> None:
        self.name = name
        self.origin = f"counted on the network for an image of {' x '.join(map(str, image_shape))}"
        self._space, self._num_classes, self._image_shape = space, num_classes, image_shape

    @override
    def values(self, archs: Sequence[str]) -> NDArray[np.float64]:
        found = np.zeros(len(archs))
        for start in range(0, len(archs), 4096):  # in parts: a million rows of Python objects are slow
            part = self._space.costs(archs[start : start + 4096], self._num_classes, self._image_shape)
            found[start : start + 4096] = [getattr(cost, self.name) for cost in part]
        return found
