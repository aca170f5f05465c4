"""The candidates of a search in a space too large to list: a sample, and an evolution from the best of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acenas.errors import UserError
from acenas.ranking.fronts import first_of_fronts
from acenas.search.costs import Costs
from acenas.search.state import StudyState
from acenas.seeds import torch_generator
from acenas.spaces import SearchSpace

Within = Callable[[Sequence[str]], NDArray[np.bool_]]
"""Maps A architectures to whether each satisfies the constraints, `[A]`."""

Score = Callable[[Sequence[str]], NDArray[np.floating]]
"""Maps A canonical architectures to the ranker's scores `[A]`, higher is better."""

TRIES = 100
"""Attempts to draw a sample in which enough architectures satisfy the constraints."""


@dataclass(frozen=True)
class Pool:
    """What a search can choose.

    Attributes:
        listed: all architectures, with those that fail the constraints; None where the space is too large to list.
        archs: those that can be chosen from the beginning; a sample where the space is too large to list.
    """

    listed: Sequence[str] | None
    archs: Sequence[str]


def list_space(space: SearchSpace) -> Sequence[str] | None:
    """All architectures of the space; None where they are too many to list."""
    try:
        return space.enumerate()
    except NotImplementedError:
        return None


@dataclass(frozen=True)
class Candidates:
    """A sample of the space and, after each round, the result of an evolution that maximises the ranker's score.

    The sample is drawn by the space's own `sample`: each function once, and only those that satisfy the constraints.
    The evolution starts from the candidates with the best scores. A child is a neighbour of one of them, and the best
    of parents and children are the next parents (truncation selection). The parents of the last generation that were
    not candidates yet are added to them. Where the search has a front, the best are those of the best fronts of score
    and costs, the least crowded first (`acenas.ranking.fronts.first_of_fronts`).

    Attributes:
        samples: architectures of the sample.
        population: parents of a generation.
        children: of a generation, at most: those that violate the constraints or were seen before are dropped.
        generations: of each evolution; 0 for the sample alone.

    Raises:
        UserError: for a number that is too small.
    """

    samples: int = 10_000
    population: int = 50
    children: int = 200
    generations: int = 10

    def __post_init__(self) -> None:
        if min(self.samples, self.population, self.children) < 1 or self.generations < 0:
            raise UserError(
                "search.candidates: samples, population and children are at least 1, and generations 0 or more"
            )

    def pool(self, space: SearchSpace, costs: Costs, seed: int, listed: Sequence[str] | None = None) -> Pool:
        """Returns what a search can choose of `listed`, or else of the space.

        Raises:
            UserError: where no architecture keeps the limits, or a cost of the front says nothing of them.
        """
        listed = listed or list_space(space)
        if listed is None:
            archs = self.sample(space, costs.within, seed)
        else:
            archs = [arch for arch, keep in zip(listed, costs.within(listed).tolist(), strict=True) if keep]
        costs.check(archs, listed or archs or space.sample(1000, torch_generator(seed, "candidates")))
        return Pool(listed, archs)

    def sample(self, space: SearchSpace, within: Within, seed: int) -> list[str]:
        """Returns at most `samples` distinct canonical forms that satisfy the constraints.

        They depend on the space, the constraints and the seed alone. There are fewer, or none, where the constraints
        are hard to satisfy.
        """
        generator, sampled = torch_generator(seed, "candidates"), dict[str, None]()
        for _ in range(TRIES):
            drawn = list(dict.fromkeys(space.canonical_all(space.sample(self.samples, generator))))
            kept = within(drawn)
            sampled |= dict.fromkeys(arch for arch, keep in zip(drawn, kept.tolist(), strict=True) if keep)
            if len(sampled) >= self.samples:
                break
        return list(sampled)[: self.samples]

    def evolve(
        self,
        state: StudyState,
        scores: NDArray[np.floating],
        score: Score,
        generator: np.random.Generator,
    ) -> list[str]:
        """Returns architectures that score well and are not in `state.archs`, best first.

        Args:
            state: has all candidates so far, in canonical form; those trained already are among the parents. Its space
                gives neighbours and canonical forms, its costs what can be chosen, and what else counts.
            scores: of `state.archs`.
            score: scores other architectures.
            generator: the only source of randomness.
        """
        space, archs, within = state.space, state.archs, state.costs.within
        if not self.generations:
            return []
        try:
            space.neighbours(archs[0])
        except UserError:  # the space knows no neighbours: the sample is all there is
            return []
        seen = set(archs)
        costs = state.front_costs
        best = self._best(scores, costs)
        parents, scores, costs = (
            [archs[i] for i in best],
            scores[best],
            None if costs is None else costs[best],
        )
        for _ in range(self.generations):
            children = self._children(space, parents, seen, within, generator)
            if not children:
                continue
            seen |= set(children)
            both, scores = [*parents, *children], np.concatenate([scores, score(children)])
            if costs is not None:
                costs = np.concatenate([costs, state.front_costs_of(children)])
            best = self._best(scores, costs)
            parents, scores, costs = (
                [both[i] for i in best],
                scores[best],
                None if costs is None else costs[best],
            )
        before = set(archs)
        return [arch for arch in parents if arch not in before]

    def _best(self, scores: NDArray[np.floating], costs: NDArray[np.float64] | None) -> NDArray[np.int64]:
        """Positions of the next parents: those with the best scores, or of the best fronts of score and costs."""
        if costs is None:
            return np.argsort(-scores, kind="stable")[: self.population]
        return first_of_fronts(np.column_stack([-scores, costs]), self.population)

    def _children(
        self,
        space: SearchSpace,
        parents: Sequence[str],
        seen: set[str],
        within: Within,
        generator: np.random.Generator,
    ) -> list[str]:
        drawn = generator.integers(len(parents), size=self.children).tolist()
        neighbours = {i: space.neighbours(parents[i]) for i in sorted(set(drawn))}
        mutated = [all_of[int(generator.integers(len(all_of)))] for i in drawn if (all_of := neighbours[i])]
        children = [arch for arch in dict.fromkeys(space.canonical_all(mutated)) if arch not in seen]
        return [arch for arch, keep in zip(children, within(children).tolist(), strict=True) if keep]
