"""Pure functions of tensors: relevance, NDCG, what the first k hold, LambdaRank and the other losses."""

from acenas.ranking.metrics import (
    GainKind,
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
    "GainKind",
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
