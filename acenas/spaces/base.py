"""What every search space can do. A user adds a space by writing one class and one YAML."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from torch import nn

from acenas.spaces.graphs import GraphBatch


class SearchSpace(ABC):
    """A set of architectures, each a string in the space's own grammar; the string is its identity everywhere."""

    name: str
    """The name that tables of this space carry in their metadata."""
    num_node_types: int
    """Values of `GraphBatch.node` are below this."""

    @abstractmethod
    def validate(self, arch: str) -> None:
        """Raises `UserError` that names what is wrong where `arch` is not of this space."""

    @abstractmethod
    def canonical(self, arch: str) -> str:
        """The simplest architecture (a string of this space) that computes the same function as `arch`."""

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

    @abstractmethod
    def draw(self, arch: str) -> Figure:
        """A picture of `arch`."""
