"""What a search and Lightning report, while they run, to W&B, CSV and the terminal."""

from acenas.callbacks.artifacts import log_artifacts, made_in
from acenas.callbacks.base import RoundResult, SearchCallback
from acenas.callbacks.best import log_best_architectures
from acenas.callbacks.loggers import CSVMetrics, SafeWandbLogger, run_loggers
from acenas.callbacks.metrics import RankingMetrics
from acenas.callbacks.pruning import PrunedError, TrialPruning
from acenas.callbacks.terminal import RoundTable, RunProgress

__all__ = [
    "CSVMetrics",
    "PrunedError",
    "RankingMetrics",
    "RoundResult",
    "RoundTable",
    "RunProgress",
    "SafeWandbLogger",
    "SearchCallback",
    "TrialPruning",
    "log_artifacts",
    "log_best_architectures",
    "made_in",
    "run_loggers",
]
