"""What every search space can do. A user adds a space by writing one class and one YAML."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from acenas.errors import UserError
from acenas.spaces.cost import Cost, count_cost
from acenas.spaces.features import Features, OneHot
from acenas.spaces.graphs import GraphBatch
from acenas.spaces.supernet import SupernetNetwork

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure  # half a second to import, for those who draw


class SearchSpace(ABC):
    """A set of architectures, each a string in the space's grammar; the string is its identity everywhere.

    A space must have `name`, `num_node_types` and `encode`, and either `enumerate` or, where it is too large to list,
    `validate` and `sample`. The other methods have defaults, to be overridden where more is known; where there is no
    default, they raise `UserError`.
    """

    name: str
    """The name that tables of this space carry in their metadata."""
    num_node_types: int
    """Values of `GraphBatch.node` are below this."""
    features: type[Features] = OneHot
    """The rows of numbers by which rankers that are no graph networks see architectures, unless told otherwise."""
    node_names: Sequence[str] = ()
    """The name of each node type in pictures; by default its number."""
    in_channels: int | None = None
    """Channels of the images that the networks read; None where the space does not fix them."""
    in_channels_key: str = "space.in_channels"
    """The key that sets `in_channels`."""
    choice_columns: Collection[str] = ()
    """Columns of a frame that hold the choices of an architecture a row; none in a space that is not one of choices."""
    example_input: Any = None
    """The input of networks that do not take images; see `acenas.spaces.cost.count_cost`."""

    # --- the architectures ---

    def enumerate(self) -> Sequence[str]:
        """All architectures, always in the same order. Raises `NotImplementedError` where there are too many."""
        raise NotImplementedError(f"{self.name} is too large to list; use sample()")

    def validate(self, arch: str) -> None:
        """Raises `UserError` that names what is wrong where `arch` is not of this space."""
        if arch not in self._members:
            raise UserError(f"not an architecture of the space {self.name}: {arch!r:.200}")

    @cached_property
    def _members(self) -> frozenset[str]:
        return frozenset(self.enumerate())

    def choices(self, arch: str) -> dict[str, Any]:
        """Returns the choices of `arch` by name; none in a space that is not one of choices."""
        return {}

    def from_choices(self, choices: Mapping[Any, Any]) -> str:
        """Returns the architecture with these choices. Raises `UserError` where there is none."""
        raise UserError(f"{self.name} is no space of choices; name architectures in a column arch")

    def parse(self, text: str) -> str:
        """Returns the architecture `text`, in this space's grammar or another encoding. Raises as `validate`."""
        self.validate(text)
        return text

    def read_frame(self, frame: pd.DataFrame, column: str | None = None) -> list[str]:
        """Returns the architectures of the rows of `frame`, in order; what else it holds is ignored.

        Args:
            frame: with a column or an index `arch`, in any form that `parse` reads, or the `choice_columns`, or
                an index of architectures.
            column: to be read instead of `arch`.

        Raises:
            UserError: where a row is not of this space; names the row.
        """
        if column is None and "arch" in frame:
            column = "arch"
        if column is not None and column not in frame:
            raise UserError(f"there is no column {column!r}, but {', '.join(map(str, frame.columns))}")
        has_choices = any(str(name) in self.choice_columns for name in frame.columns)
        cells: Iterable[Any]
        if column is not None:
            cells = frame[column]
        elif frame.index.name == "arch" or not (has_choices or frame.index.inferred_type == "integer"):
            cells = frame.index
        else:
            cells = frame.rename(columns=str).to_dict("records")
        archs = []
        for row, cell in zip(frame.index, cells, strict=True):
            try:
                archs.append(self.from_choices(cell) if isinstance(cell, Mapping) else self.parse(str(cell)))
            except UserError as error:
                raise UserError(f"row {row}: {error}") from None
        return archs

    def sample(self, n: int, generator: torch.Generator) -> list[str]:
        """Draws `n` architectures independently and uniformly."""
        archs = self.enumerate()
        return [archs[i] for i in torch.randint(len(archs), (n,), generator=generator).tolist()]

    def neighbours(self, arch: str) -> list[str]:
        """Returns all architectures that differ from `arch` in one choice. Raises `UserError` where none are known."""
        raise UserError(
            f"the space {self.name} knows no neighbours; search it with search=greedy or half_best"
        )

    # --- equal functions ---

    def canonical(self, arch: str) -> str:
        """Returns the simplest architecture that computes the same function as `arch`; by default `arch` itself."""
        self.validate(arch)
        return arch

    def canonical_all(self, archs: Sequence[str]) -> list[str]:
        """Returns `canonical` of each of `archs`; overridden where all at once are faster."""
        return [self.canonical(arch) for arch in archs]

    def distinct(self, archs: Sequence[str]) -> list[int]:
        """Returns the position in `archs` of one architecture per function: the canonical one, or else the first."""
        position: dict[str, int] = {}
        for i, (arch, canonical) in enumerate(zip(archs, self.canonical_all(archs), strict=True)):
            if arch == canonical or canonical not in position:
                position[canonical] = i
        return sorted(position.values())

    # --- graphs and pictures ---

    @abstractmethod
    def encode(self, archs: Sequence[str]) -> GraphBatch:
        """Returns `archs` as graphs, in their order; edges lead from lower to higher nodes."""

    def canonical_graphs(self, archs: Sequence[str]) -> GraphBatch:
        """Returns the graphs of the canonical forms. Raises `UserError` where `num_node_types` is too small."""
        graphs = self.encode(self.canonical_all(archs))
        if len(graphs) and (most := int(graphs.node.max())) >= self.num_node_types:
            raise UserError(
                f"the space {self.name} says num_node_types={self.num_node_types}, but encode gives a node the type "
                f"{most}: it must be more than that"
            )
        return graphs

    def draw(self, arch: str) -> Figure:
        """Draws `arch`; by default the graphs of `encode`."""
        from acenas.spaces.drawing import draw_vertex_cells

        names = self.node_names or [str(kind) for kind in range(self.num_node_types)]
        cells = {
            f"graph {number}" if number > 1 else "": (
                [(source, target) for source, target in item.edge_index.T.tolist()],
                [names[kind] for kind in item.x.tolist()],
            )
            for number, item in enumerate(self.encode([arch]).to_pyg().to_data_list(), start=1)
        }
        return draw_vertex_cells(cells)

    # --- networks; a space that is only ranked needs none of these ---

    def build(self, arch: str, num_classes: int) -> nn.Module:
        """Builds the stand-alone network of `arch`, with fresh weights. Raises `UserError` where the space has none."""
        raise UserError(f"the space {self.name} builds no networks; search a table of it")

    def check_images(self, num_classes: int, image_shape: tuple[int, int, int]) -> None:
        """Raises `UserError` where the networks do not take images of `image_shape` `(channels, height, width)`.

        Compares the channels, or runs one network where the space does not fix them. Draws no global random numbers.
        """
        if self.in_channels not in (None, image_shape[0]):
            raise UserError(
                f"the networks of the space {self.name} read images of {self.in_channels} channel(s), and these images "
                f"have {image_shape[0]}: set {self.in_channels_key}={image_shape[0]}, or choose other images"
            )
        if self.in_channels is None and type(self).build is not SearchSpace.build:
            try:
                (arch,) = self.sample(1, torch.Generator().manual_seed(0))
            except UserError:  # a table names the architectures, and none can be drawn
                return
            try:
                with torch.random.fork_rng(devices=()):
                    self.costs([arch], num_classes, image_shape)
            except UserError as error:
                raise UserError(f"the space {self.name} and images= do not fit: {error}") from error

    def costs(self, archs: Sequence[str], num_classes: int, image_shape: tuple[int, int, int]) -> list[Cost]:
        """Counts the costs of the networks of `archs` for one image of `image_shape` `(channels, height, width)`."""
        return [count_cost(self.build(arch, num_classes), image_shape) for arch in archs]

    def build_supernet(self, num_classes: int) -> SupernetNetwork:
        """Builds a network of all architectures, which share its fresh weights. Raises `UserError` for none."""
        raise UserError(f"the space {self.name} has no super-net; choose weak labels that need none")

    def connected(self, arch: str) -> bool:
        """Returns whether the output of `arch` depends on its input."""
        return True

    def sample_fair(self, generator: torch.Generator) -> list[str]:
        """Draws architectures, as many as a choice has operations, such that every choice takes each of them once.

        That is strict fairness (FairNAS, Chu et al., arXiv 1907.01845, section 3.2): one step on all of them trains
        every operation equally often. Each of the architectures is uniformly distributed. Raises `UserError` where the
        choices of the space differ in size.
        """
        raise UserError(f"the space {self.name} cannot be sampled fairly; sample it uniformly")
