"""Methods side by side: the same tasks, budgets and seeds, one command, one table of results."""

from acenas.run.benchmark.grid import Benchmark, Job

__all__ = ["Benchmark", "Job"]
