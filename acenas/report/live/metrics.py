"""Ranking metrics over the whole space. They are for people; no decision of a search depends on them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pytorch_lightning.loggers import Logger
from typing_extensions import override

from acenas.report.summary import objective_metrics
from acenas.search.events import RoundResult, SearchCallback


class RankingMetrics(SearchCallback):
    """Compares scores with the observed values of the whole space after each round and after pretraining.

    Logs `ndcg@{1,3,10,30}`, `kendall`, `spearman` and `top{1,3,10,30}_observed_<objective>` as `pretrain/…` (without
    a step) or as `search/…` (the step is the number of trained architectures). With the latter come `search/round`,
    `search/trained`, `search/failed` (where a training failed), `search/best_observed_<objective>` and
    `search/observed_regret` (by how much the best known is better than the best trained, both observed). Values are in
    the unit of the objective; by default that is accuracy, in percent.

    What pretraining alone reaches is logged as `search/…` after 0 trainings, too: the curve of a search begins there.

    Args:
        known_archs: all architectures whose observed value is known. Where there are none, as when all are trained
            from scratch, ranking metrics and regret are left out.
        known_values: their observed values; `[K]`.
        loggers: of the run.

    Attributes:
        rounds: the metrics of each round of this process, by round (0: pretraining), named as they are logged.
    """

    def __init__(
        self, known_archs: Sequence[str], known_values: NDArray[np.floating], loggers: Sequence[Logger] = ()
    ) -> None:
        self.known = pd.Series(np.asarray(known_values, dtype=np.float64), index=list(known_archs)).dropna()
        self.loggers = loggers
        self.rounds: dict[int, dict[str, float]] = {}

    @override
    def on_round_end(self, result: RoundResult) -> None:
        metrics: dict[str, float] = {}
        objective = result.objective
        observed = self.known.reindex(list(result.archs)).to_numpy()
        if not np.isnan(observed).all():
            metrics |= objective_metrics(objective, result.scores, observed)
        step = None
        if result.stage == "search":
            step = result.trained
            metrics |= {"round": result.round, "trained": result.trained}
            if len(result.failed):
                metrics["failed"] = len(result.failed)
            if (best := result.best) is not None:
                metrics[f"best_{objective.column}"] = best
                if len(self.known) > 0:
                    metrics["observed_regret"] = (
                        float((objective.sign * self.known).max()) - objective.sign * best
                    )
        of_stage = {f"{result.stage}/{name}": value for name, value in metrics.items()}
        self.rounds[result.round] = of_stage
        for logger in self.loggers:
            logger.log_metrics(of_stage, step)
            if result.stage == "pretrain" and metrics:
                begins = {"search/trained": 0} | {f"search/{name}": value for name, value in metrics.items()}
                logger.log_metrics(begins, 0)
