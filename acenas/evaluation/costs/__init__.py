"""The costs of architectures: from a table, counted, measured, or predicted."""

from acenas.evaluation.costs.base import CostModel
from acenas.evaluation.costs.latency import LatencyPredictor
from acenas.evaluation.costs.sources import CountedCosts, TableCosts

__all__ = ["CostModel", "CountedCosts", "LatencyPredictor", "TableCosts"]
