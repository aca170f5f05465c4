"""What can be chosen in a space that is too large to list: a sample of it, and what evolves from the best of that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acenas.errors import UserError
from acenas.seeds import torch_generator
from acenas.spaces import SearchSpace

Within = Callable[[Sequence[str]], NDArray[np.bool_]]
"""Which architectures keep the constraints, `[A]`."""

Score = Callable[[Sequence[str]], NDArray[np.floating]]
"""The ranker's scores `[A]` of canonical architectures, higher is better."""

TRIES = 100
"""Draws, in samples of the size asked for, in search of architectures that keep the constraints."""


@dataclass(frozen=True)
class Candidates:
    """A sample of the space and, after each round, what an evolution of the ranker's score finds.

    The sample is what the space's own `sample` draws, each function once, as far as it keeps the constraints. The
    evolution begins with the best of all candidates by their scores; a child is a neighbour of one of them, and the
    best of parents and children are the next parents (truncation selection). The parents of the last generation that
    were no candidates yet become some.

    Attributes:
        samples: architectures of the sample.
        population: parents of a generation.
        children: of a generation, at most: those that fail the constraints or are known already do not count.
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

    def sample(self, space: SearchSpace, within: Within, seed: int) -> list[str]:
        """Canonical forms that keep the constraints, all different; fewer than `samples` where those are hard to find.

        They depend on the space, the constraints and the seed alone. None where no draw keeps the constraints.
        """
        generator, found = torch_generator(seed, "candidates"), dict[str, None]()
        for _ in range(TRIES):
            drawn = list(dict.fromkeys(space.canonical_all(space.sample(self.samples, generator))))
            kept = within(drawn)
            found |= dict.fromkeys(arch for arch, keep in zip(drawn, kept.tolist(), strict=True) if keep)
            if len(found) >= self.samples:
                break
        return list(found)[: self.samples]

    def evolve(
        self,
        space: SearchSpace,
        archs: Sequence[str],
        scores: NDArray[np.floating],
        within: Within,
        score: Score,
        generator: np.random.Generator,
    ) -> list[str]:
        """Architectures that score well and are none of `archs`, best first.

        Args:
            space: tells neighbours and canonical forms.
            archs: all candidates so far, in canonical form; those trained already are among the parents.
            scores: of `archs`.
            within: keeps to the constraints.
            score: of others.
            generator: the only source of chance.
        """
        if not self.generations:
            return []
        known = set(archs)
        best = np.argsort(-scores, kind="stable")[: self.population]
        parents = {archs[i]: float(scores[i]) for i in best.tolist()}
        for _ in range(self.generations):
            children = self._children(space, list(parents), known, within, generator)
            known |= set(children)
            both = (
                parents | dict(zip(children, score(children).tolist(), strict=True)) if children else parents
            )
            parents = dict(sorted(both.items(), key=lambda each: -each[1])[: self.population])
        before = set(archs)
        return [arch for arch in parents if arch not in before]

    def _children(
        self,
        space: SearchSpace,
        parents: Sequence[str],
        known: set[str],
        within: Within,
        generator: np.random.Generator,
    ) -> list[str]:
        drawn = generator.integers(len(parents), size=self.children).tolist()
        neighbours = {i: space.neighbours(parents[i]) for i in sorted(set(drawn))}
        mutated = [neighbours[i][int(generator.integers(len(neighbours[i])))] for i in drawn]
        children = [arch for arch in dict.fromkeys(space.canonical_all(mutated)) if arch not in known]
        return [arch for arch, keep in zip(children, within(children).tolist(), strict=True) if keep]
