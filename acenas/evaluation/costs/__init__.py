"""The costs of architectures: from a table, counted, measured, or predicted."""

from acenas.evaluation.costs.latency import LatencyPredictor
from acenas.evaluation.costs.models import CostModel, CountedCosts, TableCosts

__all__ = ["CostModel", "CountedCosts", "LatencyPredictor", "TableCosts"]
