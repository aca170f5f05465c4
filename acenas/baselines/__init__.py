"""What a user would pick instead, behind the interface of a ranker."""

from acenas.baselines.bananas import BananasRanker
from acenas.baselines.encoder import GCNEncoder
from acenas.baselines.features import Counts, Features, OneHot, Paths
from acenas.baselines.regression import (
    GaussianProcessRanker,
    LightGBMRanker,
    RandomForestRanker,
    RowRanker,
    XGBoostRanker,
)
from acenas.baselines.weak_labels import ObservedRanker, WeakLabelMemory, WeakLabelRanker

__all__ = [
    "BananasRanker",
    "Counts",
    "Features",
    "GCNEncoder",
    "GaussianProcessRanker",
    "LightGBMRanker",
    "ObservedRanker",
    "OneHot",
    "Paths",
    "RandomForestRanker",
    "RowRanker",
    "WeakLabelMemory",
    "WeakLabelRanker",
    "XGBoostRanker",
]
