"""Relevance, NDCG and other metrics, LambdaRank and the other losses; as pure functions in `ranking.functional`."""

from acenas.ranking.losses import (
    ApproxNDCGLoss,
    LambdaRankLoss,
    ListMLELoss,
    ListNetLoss,
    PairwiseHingeLoss,
    PairwiseKLLoss,
    RankingLoss,
    RankNetLoss,
    StandardisedMSELoss,
)
from acenas.ranking.metrics import (
    best_true_rank,
    dcg_at_k,
    gain,
    kendall,
    ndcg_at_k,
    precision_at_top,
    ranking_metrics,
    regret,
    relevance,
    spearman,
    top_k_accuracy,
)

__all__ = [
    "ApproxNDCGLoss",
    "LambdaRankLoss",
    "ListMLELoss",
    "ListNetLoss",
    "PairwiseHingeLoss",
    "PairwiseKLLoss",
    "RankNetLoss",
    "RankingLoss",
    "StandardisedMSELoss",
    "best_true_rank",
    "dcg_at_k",
    "gain",
    "kendall",
    "ndcg_at_k",
    "precision_at_top",
    "ranking_metrics",
    "regret",
    "relevance",
    "spearman",
    "top_k_accuracy",
]
