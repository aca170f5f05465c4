"""Ranking metrics over the whole space. They are for people; no decision of a search depends on them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pytorch_lightning.loggers import Logger
from typing_extensions import override

from acenas.ranking.fronts import Scale, hypervolume
from acenas.report.summary import objective_metrics
from acenas.search.costs import Costs
from acenas.search.events import RoundResult, SearchCallback


class RankingMetrics(SearchCallback):
    """Compares scores with the observed values of the whole space after each round and after pretraining.

    Logs `ndcg@{1,3,10,30}`, `kendall`, `spearman` and `top{1,3,10,30}_observed_<objective>` as `pretrain/…` (without
    a step) or as `search/…` (the step is the number of trained architectures). With the latter come `search/round`,
    `search/trained`, `search/failed` (where a training failed), `search/best_observed_<objective>` and
    `search/observed_regret` (by how much the best known is better than the best trained, both observed). Values are in
    the unit of the objective; by default that is accuracy, in percent. Where epochs are counted there is
    `search/epochs`, of all trainings so far, and with a budget of epochs `search/stopped`, how many were stopped early.

    Of a search with a front come `search/hypervolume`, what the front of all that was trained or given dominates of the
    box between the ideal and the reference point (`acenas.ranking.fronts`, both of the observed front of all that is
    known, or else of what was trained so far), and, where more is known, `search/hypervolume_share` of that front's.

    What pretraining alone reaches is logged as `search/…` after 0 trainings, too: the curve of a search begins there.

    Args:
        known_archs: all architectures whose observed value is known. Where there are none, as when all are trained
            from scratch, ranking metrics and regret are left out.
        known_values: their observed values; `[K]`.
        loggers: of the run.
        costs: of the search.

    Attributes:
        rounds: the metrics of each round of this process, by round (0: pretraining), named as they are logged.
    """

    def __init__(
        self,
        known_archs: Sequence[str],
        known_values: NDArray[np.floating],
        loggers: Sequence[Logger] = (),
        costs: Costs | None = None,
    ) -> None:
        self.known = pd.Series(np.asarray(known_values, dtype=np.float64), index=list(known_archs)).dropna()
        self.loggers = loggers
        self.costs = costs or Costs()
        self._known_costs: NDArray[np.float64] | None = None
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
            if result.epochs is not None:
                metrics["epochs"] = result.epochs
            if result.budget_epochs is not None:
                metrics["stopped"] = result.stopped
            if (best := result.best) is not None:
                metrics[f"best_{objective.column}"] = best
                if len(self.known) > 0:
                    metrics["observed_regret"] = (
                        float((objective.sign * self.known).max()) - objective.sign * best
                    )
            if self.costs.front and best is not None:
                metrics |= self._of_front(result)
        of_stage = {f"{result.stage}/{name}": value for name, value in metrics.items()}
        self.rounds[result.round] = of_stage
        for logger in self.loggers:
            logger.log_metrics(of_stage, step)
            if result.stage == "pretrain" and metrics:
                begins: dict[str, float] = {
                    "search/trained": 0,
                    **({} if result.epochs is None else {"search/epochs": 0}),
                }
                begins |= {f"search/{name}": value for name, value in metrics.items()}
                logger.log_metrics(begins, 0)

    def _of_front(self, result: RoundResult) -> dict[str, float]:
        """The hypervolume of what was given and trained so far, and its share of what is known."""
        both = [result.given, result.observations] if len(result.given) else [result.observations]
        worked = pd.concat(both, ignore_index=True).dropna(subset=[result.objective.column])
        values = -result.objective.utility(worked[result.objective.column].to_numpy())
        costs = self.costs.with_observed(worked)[list(self.costs.front)].to_numpy() * self.costs.signs
        trained = np.column_stack([values, costs])
        trained = trained[np.isfinite(trained).all(axis=1)]
        known = trained
        if len(self.known) and not self.costs.observed:
            if self._known_costs is None:
                self._known_costs = self.costs.of_front(self.known.index.tolist())
            utilities = result.objective.utility(self.known.to_numpy())
            known = np.column_stack([-utilities, self._known_costs])
            known = known[np.isfinite(known).all(axis=1)]
        scale = Scale.of(known)
        found = {"hypervolume": hypervolume(trained, scale)}
        if known is not trained:
            found["hypervolume_share"] = found["hypervolume"] / hypervolume(known, scale)
        return found
