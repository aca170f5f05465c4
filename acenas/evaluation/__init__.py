"""The accuracies of architectures: looked up in a benchmark table, or measured by training them from scratch.

Looking up needs no torch, so what trains is imported from its own module: `from_scratch`, `measurement`, `zero_cost`.
"""

from acenas.evaluation.base import Evaluator, Judge, Observations
from acenas.evaluation.curves import Curve, NeverStop, StopRule
from acenas.evaluation.table import TableEvaluator, TableJudge

__all__ = [
    "Curve",
    "Evaluator",
    "Judge",
    "NeverStop",
    "Observations",
    "StopRule",
    "TableEvaluator",
    "TableJudge",
]
