"""The interface of cost models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class CostModel(ABC):
    """Knows one cost of any architecture of a space.

    Attributes:
        name: `params_m`, `macs_m` or `flops_m` (millions), or `latency_ms.<device>` (milliseconds).
        origin: where the values come from and how accurate they are, for people.
    """

    name: str
    origin: str

    @abstractmethod
    def values(self, archs: Sequence[str]) -> NDArray[np.float64]:
        """Returns ``[A]`` float64, the costs of `archs` in their order; NaN where one is not known."""
