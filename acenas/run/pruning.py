"""A trial of a hyper-parameter search (`hydra/sweeper=optuna`), which is given up where others ranked better."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acenas.report.live.metrics import RankingMetrics
from acenas.search.events import RoundResult, SearchCallback

if TYPE_CHECKING:
    from optuna.pruners import BasePruner


class PrunedError(Exception):
    """The run is not worth going on with."""


class TrialPruning(SearchCallback):
    """Tells Optuna of each round how well the trial ranks, and gives it up where Optuna says so.

    Args:
        metrics: stands before this in the list of callbacks and has measured the round already.
        metric: the one told, as `search/ndcg@10`.
        study: its name.
        storage: where it is, a URL.
        trial: number of the trial in the study.
        pruner: decides.
    """

    def __init__(
        self, metrics: RankingMetrics, metric: str, study: str, storage: str, trial: int, pruner: BasePruner
    ) -> None:
        import optuna  # of an extra, and slow

        self.metrics = metrics
        self.metric = metric
        # The sampler proposes nothing here; one that keeps no state does not look at the other trials for nothing.
        opened = optuna.load_study(
            study_name=study, storage=storage, pruner=pruner, sampler=optuna.samplers.RandomSampler()
        )
        (found,) = (one for one in opened.get_trials(deepcopy=False) if one.number == trial)
        self.trial = optuna.trial.Trial(opened, found._trial_id)

    def on_round_end(self, result: RoundResult) -> None:
        """Tells Optuna.

        Raises:
            PrunedError: where the trial is to be given up.
        """
        value = self.metrics.rounds[result.round].get(self.metric)
        if value is None or value != value:
            return
        self.trial.report(value, result.trained)
        if self.trial.should_prune():
            raise PrunedError(f"{self.metric} was {value:.4f} after {result.trained} trainings")
