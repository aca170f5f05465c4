"""How many architectures each round of a study trains, and which: by the scores of the ranker, or by chance."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from acenas.errors import UserError
from acenas.search.acquisition import Acquisition, BestAndRandom
from acenas.search.candidates import Candidates, Score, Within
from acenas.spaces import SearchSpace

if TYPE_CHECKING:
    from acenas.search.study import StudyState


class Search(ABC):
    """Trains `budget` architectures in rounds; a subclass says how many in each and which.

    Every architecture that is trained counts: those of the first round, of the later ones, and the final candidates.
    After each round the ranker is fitted anew, from its pretrained weights, on all that was observed so far. So the
    state of a search is its observations, and a search that was killed goes on with the same result.

    Attributes:
        budget: architectures to train, all of them.
        candidates: where what can be chosen comes from in a space too large to list.
        constraints: upper limits on costs, by name; whoever hands in architectures keeps to them.
        confidence: with which another than the best observed must be better, noise aside, to be returned in its stead;
            None for the best observed, always. See `returned_after_each`.
    """

    budget: int
    confidence: float | None = None
    candidates: Candidates = Candidates()
    constraints: Mapping[str, float] | None = None

    @property
    @abstractmethod
    def round_sizes(self) -> list[int]:
        """How many architectures each round trains; they add up to the budget."""

    @property
    @abstractmethod
    def anytime(self) -> bool:
        """Whether the first architectures trained are those that a smaller budget would have trained."""

    @abstractmethod
    def choose(
        self,
        number: int,
        space: SearchSpace,
        archs: Sequence[str],
        left: NDArray[np.int64],
        state: StudyState,
        generator: np.random.Generator,
    ) -> tuple[NDArray[np.int64], list[str]]:
        """Chooses the architectures of a round.

        Args:
            number: of the round, from 1.
            space: of the architectures.
            archs: everything that can be scored and chosen.
            left: positions in `archs` of what may be chosen: one per function, without those trained already.
            state: what was observed and scored so far.
            generator: the only source of chance.

        Returns:
            Distinct ones of `left`, as many as `round_sizes` says, and for each the reason it was chosen.
        """

    def extend(
        self,
        space: SearchSpace,
        archs: Sequence[str],
        scores: NDArray[np.floating],
        within: Within,
        score: Score,
        state: StudyState,
        generator: np.random.Generator,
    ) -> list[str]:
        """More architectures to choose from in the next round, where a space is too large to list.

        Args:
            space: of the architectures.
            archs: everything that can be chosen so far.
            scores: of `archs`, by the ranker as fitted on all that was observed so far.
            within: tells which architectures keep the constraints.
            score: as `scores`, of others.
            state: what was observed and scored so far.
            generator: the only source of chance.

        Returns:
            Canonical forms that keep the constraints, none of them in `archs`.
        """
        return []

    def with_budget(self, budget: int) -> Search:
        """The same search with another budget."""
        other = copy.copy(self)
        other.budget = budget
        return other

    def returned(
        self, space: SearchSpace, archs: Sequence[str], utilities: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """`[n]`: positions in `archs` of what is returned after each of n trainings; see `returned_after_each`."""
        from acenas.search.returned import returned_after_each  # imports scikit-learn, which takes seconds

        return returned_after_each(space.encode(archs), utilities, space.num_node_types, self.confidence)


class BudgetedSearch(Search):
    """Trains `budget` architectures in rounds and learns to rank from them (AceNAS, algorithm 1).

    Args:
        acquisition: chooses the architectures of every round but the first, and but the last where that is `final`'s.
        first: chooses those of the first round, by the scores of the pretrained ranker; without one it is random.
        final: chooses the last ones, those that the ranker believes to be the best.
        budget: architectures to train, all of them.
        per_round: architectures of a round, at least.
        growth: a round is at least this share, rounded down, of what was trained before it. Where much is known, a few
            more change the ranker little, and each round costs a finetuning. 0 for equal rounds.
        confidence: see `Search`; above 0.5.
        num_final: architectures of a last round of its own; 0 for none.
        candidates: what can be chosen in a space too large to list: a sample, and what evolves from the best scores.
        constraints: see `Search`.
    """

    def __init__(
        self,
        acquisition: Acquisition,
        first: Acquisition,
        final: Acquisition,
        budget: int = 100,
        per_round: int = 20,
        num_final: int = 20,
        candidates: Candidates = Candidates(),  # noqa: B008 (frozen)
        constraints: Mapping[str, float] | None = None,
        growth: float = 0.0,
        confidence: float | None = None,
    ) -> None:
        if confidence is not None and not 0.5 < confidence < 1:
            raise UserError(
                f"search.confidence={confidence} must be above 0.5 and below 1, or null for the best observed"
            )
        if not 0 <= num_final < budget or per_round < 1 or growth < 0:
            raise UserError(
                f"search.budget={budget} must be larger than search.num_final={num_final}, "
                f"search.per_round={per_round} at least 1, and search.growth={growth} at least 0"
            )
        self.acquisition = acquisition
        self.first = first
        self.final = final
        self.budget = budget
        self.per_round = per_round
        self.growth = growth
        self.confidence = confidence
        self.num_final = num_final
        self.candidates = candidates
        self.constraints = constraints

    @property
    def round_sizes(self) -> list[int]:
        """How many architectures each round trains; they add up to the budget."""
        sizes: list[int] = []
        while left := self.budget - self.num_final - sum(sizes):
            sizes.append(min(max(self.per_round, int(self.growth * sum(sizes))), left))
        return [*sizes, self.num_final] if self.num_final else sizes

    @property
    def anytime(self) -> bool:
        """See `Search.anytime`: without a last round that is unlike the others."""
        rules = (self.first, self.acquisition)
        return not self.num_final and all(rule.one_by_one(max(self.round_sizes)) for rule in rules)

    def choose(
        self,
        number: int,
        space: SearchSpace,
        archs: Sequence[str],
        left: NDArray[np.int64],
        state: StudyState,
        generator: np.random.Generator,
    ) -> tuple[NDArray[np.int64], list[str]]:
        """See `Search.choose`: by the latest scores."""
        sizes = self.round_sizes
        rule = self._rule(number, len(sizes), state.scores.columns)
        positions, reasons = rule.propose(state.last_scores[left], sizes[number - 1], generator)
        return left[positions], reasons

    def extend(
        self,
        space: SearchSpace,
        archs: Sequence[str],
        scores: NDArray[np.floating],
        within: Within,
        score: Score,
        state: StudyState,
        generator: np.random.Generator,
    ) -> list[str]:
        """See `Search.extend`: what evolves from the best by the ranker's score."""
        return self.candidates.evolve(space, archs, scores, within, score, generator)

    def _rule(self, number: int, rounds: int, fits: Collection[str]) -> Acquisition:
        if self.num_final and number == rounds:
            return self.final
        if number > 1 or "given" in fits:
            return self.acquisition
        return self.first if "pretrained" in fits else BestAndRandom(best=0.0)  # nothing to go by: at random
