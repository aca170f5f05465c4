"""Ranking metrics over the whole space. They are for people; no decision of a search depends on them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pytorch_lightning.loggers import Logger
from typing_extensions import override

from acenas.ranking.metrics import ranking_metrics
from acenas.search.events import RoundResult, SearchCallback


class RankingMetrics(SearchCallback):
    """Compares scores with the observed accuracies of the whole space after each round and after pretraining.

    Logs `ndcg@{1,3,10,30}`, `kendall`, `spearman` and `top{1,3,10,30}_observed_accuracy` as `pretrain/…` (without
    a step) or as `search/…` (the step is the number of trained architectures). With the latter come `search/round`,
    `search/trained`, `search/best_observed_accuracy` (percent) and `search/regret` (percentage points of observed
    accuracy from the best trained to the best known).

    Args:
        known_archs: all architectures whose observed accuracy is known. Where there are none, as when all are trained
            from scratch, ranking metrics and regret are left out.
        known_accuracy: their observed accuracies, percent; `[K]`.
        loggers: of the run.

    Attributes:
        rounds: the metrics of each round of this process, by round (0: pretraining), named as they are logged.
    """

    def __init__(
        self, known_archs: Sequence[str], known_accuracy: NDArray[np.floating], loggers: Sequence[Logger] = ()
    ) -> None:
        self.known = pd.Series(np.asarray(known_accuracy, dtype=np.float64), index=list(known_archs)).dropna()
        self.loggers = loggers
        self.rounds: dict[int, dict[str, float]] = {}

    @override
    def on_round_end(self, result: RoundResult) -> None:
        metrics: dict[str, float] = {}
        observed = self.known.reindex(list(result.archs)).to_numpy()
        if not np.isnan(observed).all():
            metrics |= ranking_metrics(torch.tensor(result.scores), torch.tensor(observed))
        step = None
        if result.stage == "search":
            step = result.trained
            best = float(result.observations["observed_accuracy"].max())
            metrics |= {"round": result.round, "trained": result.trained, "best_observed_accuracy": best}
            if len(self.known) > 0:
                metrics["regret"] = float(self.known.max()) - best
        metrics = {f"{result.stage}/{name}": value for name, value in metrics.items()}
        self.rounds[result.round] = metrics
        for logger in self.loggers:
            logger.log_metrics(metrics, step)
