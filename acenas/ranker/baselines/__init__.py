"""Other rankers, behind the same interface."""

from acenas.ranker.baselines.bananas import BananasRanker
from acenas.ranker.baselines.regression import (
    GaussianProcessRanker,
    LightGBMRanker,
    RandomForestRanker,
    RowRanker,
    XGBoostRanker,
)
from acenas.ranker.baselines.weak_labels import ObservedRanker, WeakLabelRanker

__all__ = [
    "BananasRanker",
    "GaussianProcessRanker",
    "LightGBMRanker",
    "ObservedRanker",
    "RandomForestRanker",
    "RowRanker",
    "WeakLabelRanker",
    "XGBoostRanker",
]
