"""The blocks of the mobile space and the texts of its stages."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from acenas.errors import UserError

SKIP = "skip"
"""The name of a block that is left out."""


class Operation(NamedTuple):
    """Kernel size of the depthwise convolution of an inverted residual block, and its expansion of the channels."""

    kernel_size: int
    expansion: int

    def __str__(self) -> str:
        return f"k{self.kernel_size}e{self.expansion}"


class StageTexts(dict[str, int]):
    """Numbers the texts of one stage, such as `k3e6,k5e3,skip`, in the order in which they are read first.

    Args:
        number: of the stage, from 1.
        depth: blocks of the stage.
        names: of the operations, the skip last.

    Attributes:
        canonical: for each text that of its canonical form.
    """

    def __init__(self, number: int, depth: int, names: Sequence[str]) -> None:
        super().__init__()
        self.number, self.depth, self.names = number, depth, names
        self.canonical: list[str] = []
        self._codes: list[list[int]] = []

    @property
    def codes(self) -> NDArray[np.int64]:
        """``[texts, depth]``: the operations of the canonical form of each text."""
        return np.array(self._codes, np.int64).reshape(-1, self.depth)

    def __missing__(self, text: str) -> int:
        names, where = text.split(","), f"in stage {self.number} of a network, {text!r:.200}"
        if len(names) != self.depth:
            raise UserError(f"{where}: {len(names)} blocks joined by commas, not {self.depth}")
        for name in names:
            if name not in self.names:
                raise UserError(f"{where}: unknown block {name!r:.200}; known: {', '.join(self.names)}")
        if names[0] == SKIP:
            raise UserError(f"{where}: the first block of a stage cannot be skipped")
        names.sort(key=SKIP.__eq__)  # stable: skips last
        self.canonical.append(",".join(names))
        self._codes.append([self.names.index(name) for name in names])
        self[text] = len(self)
        return self[text]
