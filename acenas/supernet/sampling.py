"""Samplers of the paths of a step: functions of (seed, step), so that every process knows all paths."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from typing_extensions import override

from acenas.errors import UserError, require_at_least
from acenas.seeds import torch_generator
from acenas.spaces.base import SearchSpace

TRIES = 1000
"""Draws after which the space is taken to have no connected architectures."""


@dataclass(frozen=True)
class PathSampler(ABC):
    """Draws the paths of each step.

    Attributes:
        shared: all processes train the same paths in a step, on different images; otherwise each has its own.
        connected_only: draws again until the output of every architecture depends on its input.
    """

    shared: bool = False
    connected_only: bool = False

    def paths(self, space: SearchSpace, seed: int, step: int, world_size: int = 1) -> list[list[str]]:
        """Returns the architectures of each of `world_size` processes in step `step`.

        Raises:
            UserError: where connected architectures are asked for and no draw of many is connected.
        """
        generator = torch_generator(seed, "supernet", "paths", step)
        if self.shared:
            return [self._connected(space, generator)] * world_size
        return [self._connected(space, generator) for _ in range(world_size)]

    @abstractmethod
    def draw(self, space: SearchSpace, generator: torch.Generator) -> list[str]:
        """Draws the paths of one process in one step, connected or not."""

    def _connected(self, space: SearchSpace, generator: torch.Generator) -> list[str]:
        for _ in range(TRIES):
            archs = self.draw(space, generator)
            if not self.connected_only or all(map(space.connected, archs)):
                return archs
        raise UserError(
            f"{TRIES} draws of {type(self).__name__} from {space.name} were all disconnected somewhere; "
            "set connected_only=false, or train fewer paths in a step"
        )


@dataclass(frozen=True)
class UniformPaths(PathSampler):
    """Draws architectures uniformly and independently (SPOS, Guo et al., arXiv 1904.00420, section 3.2).

    Attributes:
        paths_per_step: architectures of each process in a step.

    >>> from acenas.spaces import NasBench201
    >>> [len(paths) for paths in UniformPaths(paths_per_step=3).paths(NasBench201(), seed=0, step=0, world_size=2)]
    [3, 3]
    """

    paths_per_step: int = 1

    def __post_init__(self) -> None:
        require_at_least(1, "sampler: ", paths_per_step=self.paths_per_step)

    @override
    def draw(self, space: SearchSpace, generator: torch.Generator) -> list[str]:
        return space.sample(self.paths_per_step, generator)


@dataclass(frozen=True)
class FairPaths(PathSampler):
    """Draws with strict fairness: each step trains every operation of every choice once (FairNAS, arXiv 1907.01845).

    With `connected_only`, sets with a disconnected architecture are drawn again as a whole, so that strict fairness
    holds in every step. An operation on an edge that leads nowhere in its cell gets no gradient in that step.
    """

    @override
    def draw(self, space: SearchSpace, generator: torch.Generator) -> list[str]:
        return space.sample_fair(generator)
