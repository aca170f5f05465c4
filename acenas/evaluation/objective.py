"""What training an architecture shows and a search optimises: its name, unit and direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from acenas.errors import UserError
from acenas.files import shown

Direction = Literal["max", "min"]
"""`max` where higher is better, `min` where lower is."""

MOST_COSTS = 3
"""Costs of a front, beside the objective, at most: with more, hardly anything dominates anything."""


@dataclass(frozen=True)
class Objective:
    """What is observed of an architecture. What is below it assumes nothing but an order.

    Attributes:
        name: such as `accuracy`, `perplexity` or `ssim`: letters, digits and underscores.
        unit: shown behind values, such as `%`; empty for none.
        direction: `max` where higher is better, `min` where lower is.

    Raises:
        UserError: for a name that no column can carry, or another direction.

    >>> Objective("perplexity", unit="", direction="min").utility(np.array([12.0, 9.5]))
    array([-12. ,  -9.5])
    """

    name: str = "accuracy"
    unit: str = "%"
    direction: Direction = "max"

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise UserError(f"objective: the name {self.name!r:.200} must be letters, digits and underscores")
        if self.direction not in ("max", "min"):
            raise UserError(f"objective: direction={self.direction} must be max or min")

    @classmethod
    def of(cls, given: Objective | Mapping[str, Any] | str) -> Objective:
        """An objective in short: `"min perplexity"`, `"max error_rate %"`, or a mapping of the attributes.

        Raises:
            UserError: where the direction of anything but the accuracy is missing, or more is there than that.

        >>> Objective.of("min latency ms")
        Objective(name='latency', unit='ms', direction='min')
        """
        if isinstance(given, Objective):
            return given
        if isinstance(given, str):
            words = given.split()
            if words == ["accuracy"]:
                return cls()
            if not 2 <= len(words) <= 3 or words[0] not in ("max", "min"):
                raise UserError(
                    f"objective: {given!r:.200} must be max or min, a name, and perhaps a unit: 'min perplexity'"
                )
            given = dict(zip(("direction", "name", "unit"), words, strict=False))
        if unknown := given.keys() - {"name", "unit", "direction"}:
            raise UserError(
                f"objective: there is no {', '.join(sorted(unknown))}; give name, unit and direction"
            )
        unit = "%" if given.get("name", "accuracy") == "accuracy" else ""
        return cls(**{"unit": unit, **given})

    @property
    def column(self) -> str:
        """The column of observations that holds it."""
        return f"observed_{self.name}"

    @property
    def sign(self) -> int:
        """1 where higher is better, else -1."""
        return 1 if self.direction == "max" else -1

    def utility(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """`values`, or their negatives where lower is better: higher is better of these, always."""
        return self.sign * np.asarray(values, dtype=np.float64)

    def label(self, kind: str) -> str:
        """`kind` (`observed` or `test`) with name and unit, as in `test accuracy (%)`."""
        return f"{kind} {self.name}{f' ({self.unit})' if self.unit else ''}"

    def show(self, value: float) -> str:
        """The value with its unit, as in `94.37 %`."""
        return shown(value, self.unit)


def directions_of(front: Mapping[str, Any] | Sequence[Any]) -> dict[str, Direction]:
    """The costs of a front, with the direction of each: as they are, or names of costs to minimise.

    Raises:
        UserError: for more than three, one twice, or another direction than `min` and `max`.

    >>> directions_of(["params_m"]), directions_of({"throughput.tpuv2": "max"})
    ({'params_m': 'min'}, {'throughput.tpuv2': 'max'})
    """
    if isinstance(front, str) or not isinstance(front, Mapping | Sequence):
        raise UserError(f"search.front={front} is neither a list of costs nor a mapping, as in [params_m]")
    names = [str(name) for name in front]
    found = {str(name): way for name, way in front.items()} if isinstance(front, Mapping) else {}
    found = found or dict.fromkeys(names, "min")
    if len(found) < len(names):
        raise UserError(f"search.front={names} names a cost twice")
    if len(found) > MOST_COSTS:
        raise UserError(f"search.front has {len(found)} costs, and {MOST_COSTS} are the most")
    for name, direction in found.items():
        if direction not in ("max", "min"):
            raise UserError(f"search.front: the direction of {name} must be max or min, not {direction}")
    return cast(dict[str, Direction], found)


def for_float32(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """`values`, or where float32 would lose what tells them apart, these moved and scaled to 0 to 1; NaN stays NaN.

    >>> for_float32(np.array([90.0, 94.5])), for_float32(np.array([1e9, 1e9 + 1e-3, 1e9 + 4e-3]))
    (array([90. , 94.5]), array([0.  , 0.25, 1.  ]))
    """
    largest = float(np.nanmax(np.abs(values), initial=0))
    parts = values / (largest or 1)  # which cannot overflow
    least, most = np.nanmin(parts, initial=1), np.nanmax(parts, initial=-1)
    if most <= least or (1e-30 < largest < 1e30 and most - least > 1e-5):
        return values if 1e-30 < largest < 1e30 else parts
    return (parts - least) / (most - least)


def numbers_beside(shown: Mapping[Any, Any], key: str) -> dict[str, float]:
    """What a training showed beside the objective `key`, as far as it is finite numbers: its costs."""
    found: dict[str, float] = {}
    for name, value in shown.items():
        if name != key:
            with suppress(UserError):
                found[str(name)] = as_number(value, str(name))
    return {name: value for name, value in found.items() if np.isfinite(value)}


def as_number(value: object, name: str) -> float:
    """`value` as a float: a number, a text that is one, or an array or tensor of one. Raises `UserError`."""
    try:
        return float(value.item() if hasattr(value, "item") else value)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise UserError(f"{name} must be a number, not {value!r:.200}") from None
