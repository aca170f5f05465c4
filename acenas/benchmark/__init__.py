"""Methods side by side: the same tasks, budgets and seeds, one command, one table of results."""

from acenas.benchmark.grid import Benchmark, Job
from acenas.benchmark.results import comparison, needed, paired_p_value

__all__ = ["Benchmark", "Job", "comparison", "needed", "paired_p_value"]
