"""Regularised evolution: a search that predicts nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from acenas.errors import UserError
from acenas.search.candidates import Candidates, Score, Within
from acenas.search.rounds import Search
from acenas.spaces import SearchSpace

if TYPE_CHECKING:
    from acenas.search.study import StudyState


class RegularisedEvolution(Search):
    """Children of the best of a random few replace the oldest (Real et al., AAAI 2019, algorithm 1).

    The first round trains a random population. Each later child is the mutation, one choice changed, of the best of
    `tournament` members drawn at random; it joins the population, and the oldest member leaves. The population are
    thus the last architectures trained, so that a search that was killed goes on from its observations alone.

    No function is trained twice, unlike in the paper: a mutation is one of those not trained yet, and a parent
    without any is passed over. The ranker has no part in the choice: it is fitted for the report alone.

    Args:
        budget: architectures to train, all of them.
        population: members, 2 or more.
        tournament: members of which the best is a parent; the paper's 25 of 100 are its ratio to the population, too.
        per_round: children that are trained at once; 1 for evolution one by one, as published.
        candidates: what the first population is drawn from in a space too large to list.
        constraints: see `Search`; mutations that do not keep them are none.
    """

    def __init__(
        self,
        budget: int = 100,
        population: int = 20,
        tournament: int = 5,
        per_round: int = 1,
        candidates: Candidates = Candidates(),  # noqa: B008 (frozen)
        constraints: Mapping[str, float] | None = None,
    ) -> None:
        if not 1 <= tournament <= population or budget < 1 or per_round < 1:
            raise UserError(
                f"search: the tournament ({tournament}) must be between 1 and the population ({population}), and "
                f"budget={budget} and per_round={per_round} at least 1"
            )
        self.budget = budget
        self.population = population
        self.tournament = tournament
        self.per_round = per_round
        self.candidates = candidates
        self.constraints = constraints

    @property
    def round_sizes(self) -> list[int]:
        """See `Search.round_sizes`: the population, then its children."""
        first = min(self.population, self.budget)
        full, rest = divmod(self.budget - first, self.per_round)
        return [size for size in (first, *[self.per_round] * full, rest) if size]

    @property
    def anytime(self) -> bool:
        """See `Search.anytime`."""
        return True

    def choose(
        self,
        number: int,
        space: SearchSpace,
        archs: Sequence[str],
        left: NDArray[np.int64],
        state: StudyState,
        generator: np.random.Generator,
    ) -> tuple[NDArray[np.int64], list[str]]:
        """See `Search.choose`."""
        size = self.round_sizes[number - 1]
        if number == 1:
            return generator.permutation(left)[:size], ["random"] * size
        known, utilities = state.known
        members, utilities = known[-self.population :], utilities[-self.population :]
        untrained = dict(zip(space.canonical_all([archs[i] for i in left]), left.tolist(), strict=True))
        chosen, reasons = [], []
        for _ in range(size):
            child = self._child(space, members, utilities, untrained, generator)
            # Where everything around the population is trained, evolution goes on elsewhere.
            name = child or str(generator.choice(sorted(untrained)))
            chosen.append(untrained.pop(name))
            reasons.append("mutated" if child else "random")
        return np.array(chosen, dtype=np.int64), reasons

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
        """See `Search.extend`: all mutations of the population."""
        members = state.known[0][-self.population :]
        mutations = space.canonical_all([other for member in members for other in space.neighbours(member)])
        new = sorted(set(mutations) - set(archs))
        return [arch for arch, keep in zip(new, within(new).tolist(), strict=True) if keep]

    def _child(
        self,
        space: SearchSpace,
        members: Sequence[str],
        utilities: NDArray[np.float64],
        untrained: dict[str, int],
        generator: np.random.Generator,
    ) -> str | None:
        """The canonical form of a mutation that is untrained; None where no member has any."""
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
