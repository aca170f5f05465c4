"""Regularised evolution: a search without a predictor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from acenas.errors import UserError
from acenas.search.budget import check_budget
from acenas.search.candidates import Candidates, Score
from acenas.search.rounds import Search
from acenas.search.state import StudyState
from acenas.spaces import SearchSpace


@dataclass(eq=False)
class RegularisedEvolution(Search):
    """Children of the best of a random few replace the oldest (Real et al., AAAI 2019, algorithm 1).

    The first round trains a random population. Each later child is a mutation (one choice changed) of the best of
    `tournament` members drawn at random; it joins the population, and the oldest member leaves. The population is
    therefore the last architectures trained, and a search that was killed resumes from its observations alone.

    Unlike in the paper, no function is trained twice: mutations that are trained already are excluded, and so is a
    parent without other mutations. The ranker does not take part in the choice: it is fitted for the report alone.

    Attributes:
        budget: architectures to train, all of them.
        population: the number of members, 2 or more.
        tournament: members of which the best is a parent; a quarter of the population, as in the paper (25 of 100).
        per_round: children that are trained at once; 1, as published, to learn from each before the next.
        candidates: what the first population is drawn from in a space too large to list.

    Raises:
        UserError: for a number outside its range.
    """

    budget: int = 100
    population: int = 20
    tournament: int = 5
    per_round: int = 1
    candidates: Candidates = Candidates()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        check_budget(self.budget, self.per_round)
        if not 1 <= self.tournament <= self.population:
            raise UserError(
                f"search.tournament={self.tournament} must be between 1 and search.population={self.population}"
            )

    @property
    @override
    def round_sizes(self) -> list[int]:
        """The sizes of the rounds: the population, then its children."""
        first = min(self.population, self.budget)
        full, rest = divmod(self.budget - first, self.per_round)
        return [size for size in (first, *[self.per_round] * full, rest) if size]

    @override
    def anytime(self, with_front: bool = False) -> bool:
        return True

    @override
    def choose(
        self,
        number: int,
        left: NDArray[np.int64],
        state: StudyState,
        generator: np.random.Generator,
    ) -> tuple[NDArray[np.int64], list[str]]:
        size = min(self.round_sizes[number - 1], len(left))
        if number == 1:
            return generator.permutation(left)[:size], ["random"] * size
        space, (known, utilities) = state.space, state.known
        members, utilities = known[-self.population :], utilities[-self.population :]
        untrained = dict(zip(space.canonical_all([state.archs[i] for i in left]), left.tolist(), strict=True))
        chosen, reasons = [], []
        for _ in range(size):
            child = self._child(space, members, utilities, untrained, generator)
            # Where all mutations of the population are trained, evolution continues with a random architecture.
            name = child or str(generator.choice(sorted(untrained)))
            chosen.append(untrained.pop(name))
            reasons.append("mutated" if child else "random")
        return np.array(chosen, dtype=np.int64), reasons

    @override
    def check_space(self, space: SearchSpace, archs: Sequence[str]) -> None:
        try:
            space.neighbours(archs[0])
        except UserError as error:
            raise UserError(f"search=evolution needs neighbours of architectures: {error}") from None

    @override
    def extend(
        self,
        state: StudyState,
        scores: NDArray[np.floating],
        score: Score,
        generator: np.random.Generator,
    ) -> list[str]:
        """Returns all mutations of the population that are not candidates yet."""
        space, members = state.space, state.known[0][-self.population :]
        mutations = space.canonical_all([other for member in members for other in space.neighbours(member)])
        new = sorted(set(mutations) - set(state.archs))
        return [arch for arch, keep in zip(new, state.costs.within(new).tolist(), strict=True) if keep]

    def _child(
        self,
        space: SearchSpace,
        members: Sequence[str],
        utilities: NDArray[np.float64],
        untrained: dict[str, int],
        generator: np.random.Generator,
    ) -> str | None:
        """Returns the canonical form of an untrained mutation; None where no member has any."""
        eligible = list(range(len(members)))
        while eligible:
            drawn = generator.choice(eligible, size=min(self.tournament, len(eligible)), replace=False)
            parent = int(drawn[np.argmax(np.nan_to_num(utilities[drawn], nan=-np.inf))])
            mutations = space.canonical_all(space.neighbours(members[parent]))
            children = [child for child in mutations if child in untrained]
            if children:
                return str(generator.choice(children))
            eligible.remove(parent)
        return None
