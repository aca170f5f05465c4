"""What architectures cost when they run, where that is known from, and limits on it."""

from acenas.costs.base import CostModel, Limits
from acenas.costs.latency import LatencyPredictor
from acenas.costs.sources import CountedCosts, TableCosts

__all__ = ["CostModel", "CountedCosts", "LatencyPredictor", "Limits", "TableCosts"]
