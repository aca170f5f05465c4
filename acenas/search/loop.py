"""Drives a study: asks, lets an evaluator train, tells; those who watch receive each round once."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import pandas as pd

from acenas.errors import UserError
from acenas.evaluation import Evaluator
from acenas.evaluation.curves import StopRule
from acenas.files import read_json, write_text
from acenas.search.answers import Trial
from acenas.search.events import RoundResult, SearchCallback
from acenas.search.rounds import Search
from acenas.search.spending import Spending
from acenas.search.state import FAILED
from acenas.search.study import STOP, Study


@dataclass(frozen=True)
class SearchResult:
    """What a search leaves behind.

    Attributes:
        observations: every architecture trained, in order: `arch`, `round`, `reason`, `repeat`, `state`, the objective
            (`observed_accuracy` in percent by default), `seconds` of training, `message` of a failure, and `returned`:
            the one that a search returns whose last training this is.
        scores: `arch`, then one column per fit: `pretrained` (where there was a pretraining), `round_1`, ...
        given: `arch` and the objective of what was trained elsewhere; no part of the budget.
        fronts: of a study with a front the one that is returned after each training, see `Study.fronts`.
        predicted: of such a study what training each architecture would show, see `Study.predictions`.
        spending: of a study that counts epochs; else None.
    """

    observations: pd.DataFrame
    scores: pd.DataFrame
    given: pd.DataFrame
    fronts: pd.DataFrame
    predicted: pd.DataFrame
    spending: Spending | None = None


def run_study(
    study: Study,
    evaluator: Evaluator,
    callbacks: Sequence[SearchCallback] = (),
    attempts: int = 1,
    stop_on_failure: bool = False,
) -> SearchResult:
    """Runs the rounds of a study that are not done yet.

    Args:
        study: asks what to train.
        evaluator: trains it; the only way to what a training shows. Each result is kept as it comes.
        callbacks: receive each round once, whichever process ran it.
        attempts: trainings of an architecture that fails, before it is given up.
        stop_on_failure: whether one failed training ends the search, rather than more than half of a round.

    Raises:
        UserError: where too many trainings of a round failed. The search can go on: what failed is not asked again.
    """
    check_repeats(study.search, evaluator)
    rounds = len(study.search.round_sizes) if study.budget_epochs is None else None
    _report(study, callbacks)
    for callback in callbacks:
        callback.on_search_start(rounds, study.budget, study.state.last_round)
    while trials := study.pending or study.ask():
        number = trials[0].round
        for callback in callbacks:
            callback.on_round_start(number, [trial.arch for trial in trials])
        _train(study, evaluator, trials, attempts, study.rule(number))
        study.fit()
        _report(study, callbacks)
        _stop_where_too_many_failed(study, number, 0 if stop_on_failure else 0.5)
    if study.observations[study.objective.column].isna().all():
        raise UserError(
            f"all {study.budget} trainings failed, for reasons in {study.folder}; mend the training and choose another "
            "folder"
        )
    study.fit()
    _report(study, callbacks)
    observations = study.close()
    for callback in callbacks:
        callback.on_search_end()
    fronts, predicted = study.fronts(), study.predictions()
    return SearchResult(
        observations, study.state.scores, study.state.given, fronts, predicted, study.spending
    )


def check_repeats(search: Search, evaluator: Evaluator) -> None:
    """Raises `UserError` where an evaluator has fewer trainings of an architecture than a search may ask for."""
    if evaluator.repeats is not None and search.repeats > evaluator.repeats:
        raise UserError(
            f"search.repeats={search.repeats}, but {evaluator!r} has {evaluator.repeats} training(s) of each "
            "architecture; choose no more, or name the columns of further ones in evaluator.repeats"
        )


def _train(
    study: Study, evaluator: Evaluator, trials: Sequence[Trial], attempts: int, rule: StopRule | None
) -> None:
    """Tells the study what each training shows as soon as it ends.

    What fails `attempts` times, by itself or by a value that is not finite, has failed.
    """
    for repeat in sorted({trial.repeat for trial in trials}):
        of_each = [trial for trial in trials if trial.repeat == repeat]
        _train_each(study, evaluator.repeated(repeat), of_each, attempts, rule)


def _train_each(
    study: Study, evaluator: Evaluator, trials: Sequence[Trial], attempts: int, rule: StopRule | None
) -> None:
    """Trains different architectures."""
    waiting = {trial.arch: trial for trial in trials}
    for left in reversed(range(attempts)):
        if not waiting:
            return
        archs = list(waiting)  # one that reports nothing need not take a rule
        for result in evaluator.results(archs) if rule is None else evaluator.results(archs, rule):
            if math.isfinite(result.value) and not result.failure:
                at = result.curve[-1][0] if result.stopped else None
                told = (result.value, result.seconds, result.costs, at, result.curve[:-1])
                answer = study.tell(waiting.pop(result.arch), *told)
                assert answer == STOP  # the evaluator asks the same rule
            elif not left:
                reason = result.failure or f"{study.objective.name} is {result.value}"
                study.fail(waiting.pop(result.arch), reason, result.seconds)
    for trial in waiting.values():
        study.fail(trial, "the evaluator gave no result")


def _stop_where_too_many_failed(study: Study, number: int, share: float) -> None:
    told = study.observations
    of_round = told[told["round"] == number]
    # One failure says little, so a round of one or two is looked at with those before it.
    last = of_round if len(of_round) > 2 or not share else told.tail(3)
    failed = last[last["state"] == FAILED]
    if (of_round["state"] == FAILED).any() and len(failed) > share * max(len(last), 3):
        reasons = failed["message"].value_counts()
        raise UserError(
            f"{len(failed)} of the last {len(last)} trainings failed (round {number}), {reasons.iloc[0]} of them with: "
            f"{reasons.index[0]}. What worked is kept in {study.folder}; mend the training, then go on with the same "
            "command"
        )


def _report(study: Study, callbacks: Sequence[SearchCallback]) -> None:
    """Hands over the rounds that have a fit and were not handed over by an earlier process, or for a smaller budget."""
    file = study.folder / "rounds_reported.json"
    first, before = 0, study.budget
    with suppress(UserError):  # nothing was handed over yet, or it is not known any more: then all is again
        kept = read_json(file, {"next": int, "budget?": int})
        first, before = kept["next"], kept.get("budget", before)
    if before != study.budget:
        first = min(first, study.search.rounds_alike(before) + 1)
    observations, scores = study.observations, study.state.scores
    rounds = len(study.search.round_sizes) if study.budget_epochs is None else None
    for number in range(first, study.state.last_round + 1):
        name = f"round_{number}" if number else "pretrained"
        if name not in scores:
            continue
        seen = observations[observations["round"] <= number]
        result = RoundResult(
            stage="search" if number else "pretrain",
            round=number,
            rounds=rounds,
            trained=len(seen),
            budget=study.budget,
            archs=study.state.archs,
            scores=scores[name].to_numpy(),
            observations=seen,
            objective=study.objective,
            given=study.state.given,
            budget_epochs=study.budget_epochs,
        )
        for callback in callbacks:
            callback.on_round_end(result)
        write_text(file, json.dumps({"next": number + 1, "budget": study.budget}))
