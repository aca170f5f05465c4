"""Evolution: searches without a predictor."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from acenas.errors import UserError
from acenas.ranking.fronts import first_of_fronts
from acenas.search.budget import check_budget
from acenas.search.candidates import Candidates, Score
from acenas.search.rounds import Search
from acenas.search.state import StudyState
from acenas.search.stopping import Belief, Stopping
from acenas.spaces import SearchSpace


class Evolution(Search):
    """A population that is trained at random, and children of it: mutations of the best of a random few.

    A mutation changes one choice. No function is trained twice: mutations that are trained already are excluded, and
    so is a parent without other mutations. The ranker does not take part in the choice: it is fitted for the report
    alone. The population follows from what was trained, so a search that was killed resumes from its observations.

    Attributes:
        name: of the search in messages, as in `search=evolution`.
        population: the number of members.
        tournament: members drawn at random of which the best is a parent.
        per_round: children that are trained at once.
    """

    name: str
    population: int
    tournament: int
    per_round: int

    def __post_init__(self) -> None:
        check_budget(self.budget, per_round=self.per_round)
        if not 1 <= self.tournament <= self.population:
            raise UserError(
                f"search.tournament={self.tournament} must be between 1 and search.population={self.population}"
            )

    @abstractmethod
    def _population(self, state: StudyState) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The members: `[P]`, their positions in `state.known`, and `[P]`, which are better (higher)."""

    @override
    def round_size(self, done: int) -> int:
        """The size of the population, then of its children."""
        return min(self.per_round if done else self.population, self.budget - done)

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
        size = min(self.round_size(len(state.trials)), len(left))
        if number == 1:
            return generator.permutation(left)[:size], ["random"] * size
        space, (known, _) = state.space, state.known
        places, quality = self._population(state)
        members = [known[i] for i in places.tolist()]
        untrained = dict(zip(space.canonical_all([state.archs[i] for i in left]), left.tolist(), strict=True))
        chosen, reasons = [], []
        for _ in range(size):
            child = self._child(space, members, quality, untrained, generator)
            # Where all mutations of the population are trained, evolution continues with a random architecture.
            name = child or str(generator.choice(sorted(untrained)))
            chosen.append(untrained.pop(name))
            reasons.append("mutated" if child else "random")
        return np.array(chosen, dtype=np.int64), reasons

    @override
    def check(self, state: StudyState) -> None:
        try:
            state.space.neighbours(state.archs[0])
        except UserError as error:
            raise UserError(f"search={self.name} needs neighbours of architectures: {error}") from None

    @override
    def extend(
        self,
        state: StudyState,
        scores: NDArray[np.floating],
        score: Score,
        generator: np.random.Generator,
    ) -> list[str]:
        """Returns all mutations of the population that are not candidates yet."""
        space, (known, _) = state.space, state.known
        members = [known[i] for i in self._population(state)[0].tolist()]
        mutations = space.canonical_all([other for member in members for other in space.neighbours(member)])
        new = sorted(set(mutations) - set(state.archs))
        return [arch for arch, keep in zip(new, state.costs.within(new).tolist(), strict=True) if keep]

    def _child(
        self,
        space: SearchSpace,
        members: Sequence[str],
        quality: NDArray[np.float64],
        untrained: dict[str, int],
        generator: np.random.Generator,
    ) -> str | None:
        """Returns the canonical form of an untrained mutation; None where no member has any."""
        eligible = list(range(len(members)))
        while eligible:
            drawn = generator.choice(eligible, size=min(self.tournament, len(eligible)), replace=False)
            parent = int(drawn[np.argmax(quality[drawn])])
            mutations = space.canonical_all(space.neighbours(members[parent]))
            children = [child for child in mutations if child in untrained]
            if children:
                return str(generator.choice(children))
            eligible.remove(parent)
        return None


@dataclass(eq=False)
class RegularisedEvolution(Evolution):
    """Children of the best of a random few replace the oldest (Real et al., AAAI 2019, algorithm 1).

    See `Evolution`. A child joins the population, and the oldest member leaves, so the population is the last
    architectures trained. Unlike in the paper, no function is trained twice.

    Attributes:
        budget: architectures to train, all of them.
        population: the number of members, 2 or more.
        tournament: members of which the best is a parent; a quarter of the population, as in the paper (25 of 100).
        per_round: children that are trained at once; 1, as published, to learn from each before the next.
        candidates: what the first population is drawn from in a space too large to list.
        stopping: see `Search`.

    Raises:
        UserError: for a number outside its range.
    """

    budget: int = 100
    population: int = 20
    tournament: int = 5
    per_round: int = 1
    candidates: Candidates = Candidates()  # noqa: RUF009 (frozen)
    stopping: Stopping = Belief()  # noqa: RUF009 (frozen)
    name = "evolution"

    @override
    def _population(self, state: StudyState) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        utilities = state.known[1]
        members = np.arange(len(utilities))[-self.population :]
        return members, np.nan_to_num(utilities[members], nan=-np.inf)


@dataclass(eq=False)
class NSGA2(Evolution):
    """The best fronts of a population and its children are the next population (Deb et al., IEEE TEVC 6(2), 2002).

    See `Evolution`. Fronts are sorted by domination in the objective and the costs of the study's front, the last one
    that is let in by crowding distance; a parent is the better one of two members drawn at random. Unlike in the
    paper, children are mutations alone, and no function is trained twice.

    Attributes:
        budget: architectures to train, all of them.
        population: the number of members, 2 or more.
        per_round: children of a generation; fewer than the population, to learn from them sooner.
        candidates: what the first population is drawn from in a space too large to list.
        stopping: see `Search`.

    Raises:
        UserError: for a number outside its range, or where the study has no front.
    """

    budget: int = 100
    population: int = 20
    per_round: int = 5
    candidates: Candidates = Candidates()  # noqa: RUF009 (frozen)
    stopping: Stopping = Belief()  # noqa: RUF009 (frozen)
    name = "nsga2"
    tournament = 2

    @override
    def check(self, state: StudyState) -> None:
        super().check(state)
        if not state.costs.front:
            raise UserError("search=nsga2 needs a front; say which costs, as in search.front=[params_m]")

    @override
    def _population(self, state: StudyState) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        costs = state.known_costs
        assert costs is not None  # as `check` says
        points = np.column_stack([-state.known[1], costs])
        rounds = np.concatenate([np.ones(len(state.given)), state.finished["round"]])
        members = np.zeros(0, np.int64)
        for number in sorted(set(rounds.tolist())):  # generation by generation: who once left never returns
            both = np.concatenate([members, np.flatnonzero(rounds == number)])
            both = both[np.isfinite(points[both]).all(axis=1)]
            members = both[first_of_fronts(points[both], self.population)]
        return members, -np.arange(len(members), dtype=np.float64)  # the best come first
