"""Other rankers, behind the same interface."""

from acenas.ranker.baselines.bananas import BananasRanker
from acenas.ranker.baselines.encoder import GCNEncoder
from acenas.ranker.baselines.regression import (
    GaussianProcessRanker,
    LightGBMRanker,
    RandomForestRanker,
    RowRanker,
    XGBoostRanker,
)
from acenas.ranker.baselines.weak_labels import ObservedRanker, WeakLabelMemory, WeakLabelRanker

__all__ = [
    "BananasRanker",
    "GCNEncoder",
    "GaussianProcessRanker",
    "LightGBMRanker",
    "ObservedRanker",
    "RandomForestRanker",
    "RowRanker",
    "WeakLabelMemory",
    "WeakLabelRanker",
    "XGBoostRanker",
]
