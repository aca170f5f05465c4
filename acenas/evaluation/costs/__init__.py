"""What architectures cost when they run, where that is known from, and limits on it."""

from acenas.evaluation.costs.base import CostModel, Limits
from acenas.evaluation.costs.latency import LatencyPredictor
from acenas.evaluation.costs.sources import CountedCosts, TableCosts

__all__ = ["CostModel", "CountedCosts", "LatencyPredictor", "Limits", "TableCosts"]
