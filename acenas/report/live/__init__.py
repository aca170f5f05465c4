"""The live report of a run: loggers (CSV, W&B), ranking metrics, and the terminal."""

from acenas.report.live.artifacts import artifacts_of_run, log_artifacts
from acenas.report.live.loggers import CSVMetrics, SafeWandbLogger, run_loggers
from acenas.report.live.metrics import RankingMetrics
from acenas.report.live.tables import log_result, log_table
from acenas.report.live.terminal import RoundTable, RunProgress

__all__ = [
    "CSVMetrics",
    "RankingMetrics",
    "RoundTable",
    "RunProgress",
    "SafeWandbLogger",
    "artifacts_of_run",
    "log_artifacts",
    "log_result",
    "log_table",
    "run_loggers",
]
