"""What a search and Lightning report, while they run, to W&B, CSV and the terminal."""

from acenas.callbacks.base import RoundResult, SearchCallback
from acenas.callbacks.best import log_best_architectures
from acenas.callbacks.loggers import CSVMetrics, SafeWandbLogger, run_loggers
from acenas.callbacks.metrics import RankingMetrics
from acenas.callbacks.terminal import RoundTable, RunProgress

__all__ = [
    "CSVMetrics",
    "RankingMetrics",
    "RoundResult",
    "RoundTable",
    "RunProgress",
    "SafeWandbLogger",
    "SearchCallback",
    "log_best_architectures",
    "run_loggers",
]
