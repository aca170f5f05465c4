"""What a search and Lightning report, while they run, to W&B, CSV and the terminal."""

from acenas.report.live.artifacts import artifacts_of_run, log_artifacts
from acenas.report.live.best import log_best_architectures
from acenas.report.live.loggers import CSVMetrics, SafeWandbLogger, run_loggers
from acenas.report.live.metrics import RankingMetrics
from acenas.report.live.terminal import RoundTable, RunProgress

__all__ = [
    "CSVMetrics",
    "RankingMetrics",
    "RoundTable",
    "RunProgress",
    "SafeWandbLogger",
    "artifacts_of_run",
    "log_artifacts",
    "log_best_architectures",
    "run_loggers",
]
