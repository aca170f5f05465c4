"""How many architectures each round of a study trains, and which: by the scores of the ranker, or by chance."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from typing_extensions import override

from acenas.errors import UserError, require_at_least
from acenas.evaluation.objective import for_float32
from acenas.search.acquisition import Acquisition, BestAndRandom
from acenas.search.budget import check_budget
from acenas.search.candidates import Candidates, Score
from acenas.search.fronts import HypervolumeGain
from acenas.search.repeats import LAST_PART, with_repeats
from acenas.search.state import StudyState
from acenas.search.stopping import Belief, Stopping
from acenas.spaces import SearchSpace

MOST_COMPARED = 300
"""Trainings, the best ones, that are compared at most to say what a search returns."""


def comparisons(total: int) -> list[int]:
    """The numbers of trainings after which it is said what a search returns: each, from many on every further tenth."""
    after, n = list(range(1, min(total, MOST_COMPARED) + 1)), MOST_COMPARED
    while n < total:
        n = min(n + n // 10, total)
        after.append(n)
    return after


class Search(ABC):
    """Trains `budget` architectures in rounds; a subclass defines the size of each round and chooses its architectures.

    Every architecture that is trained counts: those of the first round, of the later ones, and the final candidates.
    After each round the ranker is fitted anew, from its pretrained weights, to all observations so far. So the state
    of a search is its observations, and a search that was killed resumes with the same result.

    Attributes:
        budget: architectures to train, all of them.
        candidates: the source of candidates in a space too large to list.
        confidence: the least probability that another architecture is better than the best observed, without noise,
            for it to be returned instead; None for always the best observed. See `returned_after_each`.
        stopping: stops trainings early, where the study has a budget of epochs.
        repeats: trainings of one architecture, at most.
    """

    budget: int
    confidence: float | None = None
    repeats: int = 1
    candidates: Candidates = Candidates()
    stopping: Stopping = Belief()

    @abstractmethod
    def round_size(self, done: int) -> int:
        """The number of architectures of the next round, where `done` were chosen before, fewer than the budget."""

    @property
    def round_sizes(self) -> list[int]:
        """The number of architectures of each round; they add up to the budget."""
        sizes: list[int] = []
        while (done := sum(sizes)) < self.budget:
            sizes.append(self.round_size(done))
        return sizes

    @abstractmethod
    def anytime(self, with_front: bool = False) -> bool:
        """Whether a search with a smaller budget trains the first architectures of this one."""

    @abstractmethod
    def choose(
        self,
        number: int,
        left: NDArray[np.int64],
        state: StudyState,
        generator: np.random.Generator,
    ) -> tuple[NDArray[np.int64], list[str]]:
        """Chooses the architectures of a round.

        Args:
            number: of the round, from 1.
            left: positions in `state.archs` of what may be chosen: one per function, without those trained already.
            state: the space, the observations and the scores so far.
            generator: the only source of randomness.

        Returns:
            Distinct positions out of `left`, or of what is to be trained again, as many as `round_sizes` says or there
            are, and the reason for each.
        """

    def check(self, state: StudyState) -> None:  # noqa: B027 (most search any space)
        """Raises `UserError` where this search cannot search the study's space, or not for its front."""

    def extend(
        self,
        state: StudyState,
        scores: NDArray[np.floating],
        score: Score,
        generator: np.random.Generator,
    ) -> list[str]:
        """Returns further candidates for the next round, where a space is too large to list.

        Args:
            state: the space, its candidates, their costs and the observations so far.
            scores: of `state.archs`, by the ranker as fitted to all observations so far.
            score: scores other architectures as `scores` does.
            generator: the only source of randomness.

        Returns:
            Canonical forms that are `state.costs.within`, none of them in `state.archs`.
        """
        return []

    def predicted(self, state: StudyState) -> NDArray[np.float64] | None:
        """`Acquisition.predicted` of the rule for the study's front; None where there is none that predicts."""
        return None

    def with_budget(self, budget: int) -> Search:
        """The same search with another budget. Raises `UserError` where that is none."""
        check_budget(budget)
        other = copy.copy(self)
        other.budget = budget
        return other

    def most_trainings(self, budget_epochs: float, epochs: float | None) -> int:
        """The trainings that so many epochs can begin, where a full training has `epochs`."""
        return max(int(budget_epochs // self.stopping.lengths(epochs or budget_epochs)[0]), 1)

    def rounds_alike(self, smaller: int) -> int:
        """The number of rounds that begin a search of `smaller` trainings, but for its last one, and this one alike."""
        before = self.with_budget(smaller).round_sizes[:-1]
        alike = [a == b for a, b in zip(before, self.round_sizes, strict=False)]
        return alike.index(False) if False in alike else len(alike)

    def returned_fronts(
        self,
        space: SearchSpace,
        archs: Sequence[str],
        utilities: NDArray[np.float64],
        costs: NDArray[np.float64],
        trainings: Sequence[int],
    ) -> list[NDArray[np.int64]]:
        """Returns the positions in `archs` of the front that is returned after each of these numbers of trainings.

        See `acenas.search.returned.returned_fronts`.
        """
        from acenas.search.returned import returned_fronts

        if not len(archs):
            return [np.zeros(0, np.int64) for _ in trainings]
        seen = space.encode(archs), for_float32(utilities), costs, space.num_node_types
        return returned_fronts(*seen, self.confidence, trainings)

    def returned(
        self,
        space: SearchSpace,
        archs: Sequence[str],
        utilities: NDArray[np.float64],
        trainings: Sequence[int] | None = None,
    ) -> NDArray[np.int64]:
        """Returns the positions in `archs` of what is returned after some numbers of `trainings`; None for each."""
        # imports scikit-learn, which takes seconds
        from acenas.search.returned import returned_after, returned_after_each

        seen = space.encode(archs), for_float32(utilities), space.num_node_types, self.confidence
        arms, _ = pd.factorize(np.array(archs, dtype=object))
        if trainings is None:
            return returned_after_each(*seen, arms=arms)
        return returned_after(*seen, trainings, arms=arms)


@dataclass(eq=False)
class BudgetedSearch(Search):
    """Trains `budget` architectures in rounds and learns to rank from them (AceNAS, algorithm 1).

    Attributes:
        budget: architectures to train, all of them.
        per_round: architectures of a round, at least.
        growth: the least size of a round as a share, rounded down, of what was trained before it; 0 for equal rounds.
            After many observations a few more change the ranker little, and each round costs a finetuning.
        num_final: architectures of a last round, chosen by `final`; 0 for none.
        num_first: architectures of the first round, at least.
        first: chooses the first round by the scores of the pretrained ranker; without pretraining it is random.
        acquisition: chooses the other rounds.
        front_acquisition: chooses these and the first round where the study has a front.
        final: chooses the last round, where `num_final` is not 0.
        confidence: see `Search`; above 0.5 and below 1.
        candidates: see `Search`: a sample, and an evolution from the best scores.
        stopping: see `Search`.
        repeats: trainings of one architecture, at most: above 1 what is good is trained again in the last rounds, where
            that tells more than a new architecture, see `with_repeats`. Not with a front or a budget of epochs.
        rounds: of equal size, before the last; in place of `per_round`, `growth` and `num_first`. 0: as these say.

    Raises:
        UserError: for a number outside its range.
    """

    budget: int = 100
    per_round: int = 3
    growth: float = 0.15
    num_final: int = 0
    num_first: int = 4
    first: Acquisition = BestAndRandom(best=0.0, part=0.1, spread=0.5)  # noqa: RUF009 (frozen)
    acquisition: Acquisition = BestAndRandom()  # noqa: RUF009 (frozen)
    front_acquisition: Acquisition = HypervolumeGain()  # noqa: RUF009 (frozen)
    final: Acquisition = BestAndRandom()  # noqa: RUF009 (frozen)
    confidence: float | None = 0.95
    candidates: Candidates = Candidates()  # noqa: RUF009 (frozen)
    stopping: Stopping = Belief()  # noqa: RUF009 (frozen)
    rounds: int = 0
    repeats: int = 1

    def __post_init__(self) -> None:
        require_at_least(1, "search.", repeats=self.repeats)
        check_budget(
            self.budget,
            per_round=self.per_round,
            num_final=self.num_final,
            growth=self.growth,
            num_first=self.num_first,
            rounds=self.rounds,
        )
        if self.confidence is not None and not 0.5 < self.confidence < 1:
            raise UserError(
                f"search.confidence={self.confidence} must be above 0.5 and below 1, or null for the best observed"
            )

    @override
    def round_size(self, done: int) -> int:
        left = self.budget - self.num_final - done
        if left <= 0:
            return self.num_final
        if self.rounds:
            return min(-(-(self.budget - self.num_final) // self.rounds), left)
        least = self.per_round if done else max(self.per_round, self.num_first)
        return min(max(least, int(self.growth * done)), left)

    @override
    def rounds_alike(self, smaller: int) -> int:
        alike = super().rounds_alike(smaller)
        if self.repeats == 1:
            return alike
        begins = np.cumsum([0, *self.with_budget(smaller).round_sizes])
        return min(alike, int((begins < (1 - LAST_PART) * smaller).sum()))

    @override
    def anytime(self, with_front: bool = False) -> bool:
        """Whether neither the sizes of rounds nor a last one depend on the budget, and all rules are `one_by_one`.

        What is trained again depends on how many the round has.
        """
        first, *later = self.round_sizes
        rules = [self.front_acquisition] * 2 if with_front else [self.first, self.acquisition]
        whole = rules[0].one_by_one(first) and rules[1].one_by_one(max(later, default=1))
        return whole and not self.num_final and not self.rounds and self.repeats == 1

    @override
    def choose(
        self,
        number: int,
        left: NDArray[np.int64],
        state: StudyState,
        generator: np.random.Generator,
    ) -> tuple[NDArray[np.int64], list[str]]:
        """Chooses by the latest scores, and by the costs where the study has a front."""
        done = len(state.trials)
        size, is_last = min(self.round_size(done), len(left)), done >= self.budget - self.num_final
        if state.costs.front and not is_last:
            positions, reasons = self.front_acquisition.propose_front(state, left, size, generator)
        else:
            rule = self.final if is_last else self._rule(number, state.scores.columns)
            positions, reasons = rule.propose(state.last_scores[left], size, generator)
        if self.repeats > 1 and done >= (1 - LAST_PART) * self.budget:
            return with_repeats(state, left[positions], reasons, self.repeats)
        return left[positions], reasons

    @override
    def extend(
        self,
        state: StudyState,
        scores: NDArray[np.floating],
        score: Score,
        generator: np.random.Generator,
    ) -> list[str]:
        """Returns what evolves from the best candidates."""
        return self.candidates.evolve(state, scores, score, generator)

    @override
    def predicted(self, state: StudyState) -> NDArray[np.float64] | None:
        return self.front_acquisition.predicted(state) if state.costs.front else None

    def _rule(self, number: int, fits: Collection[str]) -> Acquisition:
        if number > 1 or "given" in fits:
            return self.acquisition
        return self.first if "pretrained" in fits else BestAndRandom(best=0.0)  # nothing to go by: at random
