"""What every search space can do. A user adds a space by writing one class and one YAML."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import nn

from acenas.errors import UserError
from acenas.spaces.cost import Cost, count_cost
from acenas.spaces.graphs import GraphBatch
from acenas.spaces.supernet import SupernetNetwork


class SearchSpace(ABC):
    """A set of architectures, each a string in the space's own grammar; the string is its identity everywhere."""

    name: str
    """The name that tables of this space carry in their metadata."""
    num_node_types: int
    """Values of `GraphBatch.node` are below this."""

    @abstractmethod
    def validate(self, arch: str) -> None:
        """Raises `UserError` that names what is wrong where `arch` is not of this space."""

    def choices(self, arch: str) -> dict[str, Any]:
        """`arch` as a mapping of its choices; empty in a space that is not one of choices."""
        return {}

    def from_choices(self, choices: Mapping[Any, Any]) -> str:
        """The architecture with these choices, such as a row of a frame. Raises `UserError` where there is none."""
        raise UserError(f"{self.name} is no space of choices; name architectures in a column arch")

    def parse(self, text: str) -> str:
        """The architecture that `text` names, in this space's grammar or in another published encoding of it.

        Raises:
            UserError: as `validate`.
        """
        self.validate(text)
        return text

    @abstractmethod
    def canonical(self, arch: str) -> str:
        """The simplest architecture (a string of this space) that computes the same function as `arch`."""

    def canonical_all(self, archs: Sequence[str]) -> list[str]:
        """`canonical` of each of `archs`; spaces where that is slow one by one have a faster way."""
        return [self.canonical(arch) for arch in archs]

    def distinct(self, archs: Sequence[str]) -> list[int]:
        """Positions in `archs` of one architecture per function: the canonical one if it is there, else the first."""
        position: dict[str, int] = {}
        for i, (arch, canonical) in enumerate(zip(archs, self.canonical_all(archs), strict=True)):
            if arch == canonical or canonical not in position:
                position[canonical] = i
        return sorted(position.values())

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator) -> list[str]:
        """`n` architectures drawn independently and uniformly."""

    def enumerate(self) -> Sequence[str]:
        """All architectures, always in the same order. Raises `NotImplementedError` where there are too many."""
        raise NotImplementedError(f"{self.name} is too large to list; use sample()")

    @abstractmethod
    def neighbours(self, arch: str) -> list[str]:
        """All architectures that differ from `arch` in one choice."""

    @abstractmethod
    def encode(self, archs: Sequence[str]) -> GraphBatch:
        """`archs` as graphs, in their order."""

    @abstractmethod
    def build(self, arch: str, num_classes: int) -> nn.Module:
        """The stand-alone network of `arch`, with fresh weights."""

    def costs(self, archs: Sequence[str], num_classes: int, image_shape: tuple[int, int, int]) -> list[Cost]:
        """What the networks of `archs` cost for one image of `image_shape` `(channels, height, width)`."""
        return [count_cost(self.build(arch, num_classes), image_shape) for arch in archs]

    # --- for a super-net; spaces without one need none of these ---

    def build_supernet(self, num_classes: int) -> SupernetNetwork:
        """A network of all architectures, which share its fresh weights.

        Raises:
            UserError: where the space has none.
        """
        raise UserError(f"the space {self.name} has no super-net; choose weak labels that need none")

    def connected(self, arch: str) -> bool:
        """Whether the output of `arch` depends on its input at all."""
        return True

    def sample_fair(self, generator: torch.Generator) -> list[str]:
        """As many architectures as a choice has operations; over them, every choice takes each of these once.

        That is strict fairness (FairNAS, Chu et al., arXiv 1907.01845, section 3.2): one step on all of them trains
        every operation equally often. Each of the architectures alone is uniformly distributed.

        Raises:
            UserError: where the choices of the space are not all of one size.
        """
        raise UserError(f"the space {self.name} cannot be sampled fairly; sample it uniformly")

    # --- pictures ---

    @abstractmethod
    def draw(self, arch: str) -> Figure:
        """A picture of `arch`."""
