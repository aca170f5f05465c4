"""The origin of a network: how its architecture was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Origin:
    """How a network was found, and what else is known from its run and the runs beside it.

    Attributes:
        lines: sentences in Markdown.
        latency_ms: measured milliseconds for one image, by device.
        seeds: accuracies of trainings of the same network in the same way, by seed; in percent, by part.
    """

    lines: Sequence[str] = ("Its architecture was given, not searched by this package.",)
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    seeds: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
