"""The five NDS cell spaces (Radosavovic et al., ICCV 2019, arXiv 1905.13214): DARTS, ENAS, PNAS, NASNet, AmoebaNet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn
from typing_extensions import override

from acenas.errors import UserError, require_one_of
from acenas.spaces.base import SearchSpace
from acenas.spaces.cost import Cost
from acenas.spaces.graphs import GraphBatch
from acenas.spaces.nds.cells import (
    FAMILIES,
    MIN_DEPTH,
    NONE,
    Architecture,
    CellGraph,
    Family,
    canonical_cell,
    from_genotype,
    parse,
)
from acenas.spaces.nds.network import NDSNetwork, StemName, live_cells, nds_cost
from acenas.spaces.nds.supernet import NDSSupernet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BEFORE, LAST, OUTPUT, SUM = 1, 2, 3, 4
"""Node types of `NDS.encode`: the two inputs, the output, the sum that is a node of the cell; then the operations."""

FIRST_OPERATION = 5

FamilyName = Literal["darts", "enas", "pnas", "nasnet", "amoeba"]
Variant = Literal["cifar10", "cifar10_fixed", "imagenet"]


class NDS(SearchSpace):
    """Architectures `normal=CELL;reduce=CELL;width=16;depth=20` of one of five papers, in the same skeleton.

    A cell is `|op~state|op~state|` for each node, joined by `+`. States 0 and 1 are the outputs of the two cells
    before, state 2 + i is node i; a node is the sum of its two operations. The output of a cell concatenates all nodes
    (DARTS, PNAS), or those that no other node reads (ENAS, NASNet, AmoebaNet). `from_genotype` converts the fields of
    the benchmark's files.

    Args:
        family: `darts`, `enas`, `pnas`, `nasnet` or `amoeba`.
        variant: widths, depths and stem of the benchmark on `cifar10`, on CIFAR-10 with a single width and depth
            (`cifar10_fixed`), or on `imagenet`.
        widths: possible channels of the first cells, in place of the variant's; two reduction cells double them.
        depths: possible numbers of cells, in place of the variant's.
        stem: for small images (`cifar`) or large ones (`imagenet`), in place of the variant's.
        in_channels: of the images.

    Architectures of other widths and depths (of a table, for instance) are not valid, but can be encoded and built.

    Raises:
        UserError: where an argument is out of range.

    >>> space = NDS("enas")
    >>> (arch,) = space.sample(1, torch.Generator().manual_seed(0))
    >>> len(space.neighbours(arch)), space.encode([arch]).node.shape
    (146, torch.Size([1, 2, 18]))
    """

    def __init__(
        self,
        family: FamilyName,
        variant: Variant = "cifar10",
        widths: Sequence[int] | None = None,
        depths: Sequence[int] | None = None,
        stem: StemName | None = None,
        in_channels: int = 3,
    ) -> None:
        require_one_of("space: family", family, FAMILIES)
        require_one_of("space: variant", variant, ("cifar10", "cifar10_fixed", "imagenet"))
        published = {
            "cifar10": ((16, 24, 32), (4, 8, 12, 16, 20)),
            "cifar10_fixed": ((16,), (20,)),
            "imagenet": (FAMILIES[family].imagenet_widths, (6, 10, 14, 18, 22)),
        }[variant]
        widths, depths = (given or known for given, known in zip((widths, depths), published, strict=True))
        stem = stem or ("imagenet" if variant == "imagenet" else "cifar")
        require_one_of("space: stem", stem, ("cifar", "imagenet"))
        for name, values, least in (("widths", widths, 2), ("depths", depths, MIN_DEPTH)):
            if min(values) < least or list(values) != sorted(set(values)):
                raise UserError(
                    f"space: {name} must be ascending numbers from {least} on, not {list(values)}"
                )
        if any(width % 2 for width in widths):
            raise UserError(f"space: widths must be even, as they are halved, not {list(widths)}")
        self.family: Family = FAMILIES[family]
        self.name = f"nds_{family}"
        self.num_node_types = FIRST_OPERATION + len(self.family.operations)
        self.widths = tuple(widths)
        self.depths = tuple(depths)
        self.stem: StemName = stem
        self.in_channels: int = in_channels

    # --- grammar ---

    def architecture(self, arch: str) -> Architecture:
        """Returns the cells, width and depth of `arch`. Raises `UserError` where it does not parse."""
        return parse(self.family, arch)

    def from_genotype(self, genotype: Mapping[str, Any], width: int, depth: int) -> str:
        """Returns the architecture of these fields of the benchmark's files; see `cells.from_genotype`."""
        return str(from_genotype(self.family, genotype, width, depth))

    @override
    def validate(self, arch: str) -> None:
        self._member(arch)

    def sample(self, n: int, generator: torch.Generator) -> list[str]:
        """Draws `n` architectures as AceNAS does for its super-net (arXiv 2108.03001).

        The width, the depth, and the operation and state of each input of a node are uniform and independent.
        """

        def draw(size: int) -> list[int]:
            return torch.randint(size, (n,), generator=generator).tolist()

        def draw_cells() -> Iterator[CellGraph]:
            names = self.family.operations
            inputs = [
                [(names[op], state) for op, state in zip(draw(len(names)), draw(node + 2), strict=True)]
                for node in range(self.family.nodes)
                for _ in range(2)
            ]
            for terms in zip(*inputs, strict=True):
                yield self.family.graph(tuple(zip(terms[::2], terms[1::2], strict=True)))

        widths, depths = draw(len(self.widths)), draw(len(self.depths))
        return [
            str(Architecture(normal, reduce, self.widths[width], self.depths[depth]))
            for normal, reduce, width, depth in zip(draw_cells(), draw_cells(), widths, depths, strict=True)
        ]

    def neighbours(self, arch: str) -> list[str]:
        """Returns all architectures that differ in one operation, one state that is read, the width or the depth."""
        whole = self._member(arch)
        found = [replace(whole, normal=cell) for cell in self._changed(whole.normal)]
        found += [replace(whole, reduce=cell) for cell in self._changed(whole.reduce)]
        found += [replace(whole, width=width) for width in self.widths if width != whole.width]
        found += [replace(whole, depth=depth) for depth in self.depths if depth != whole.depth]
        return [str(other) for other in found]

    def _changed(self, cell: CellGraph) -> Iterator[CellGraph]:
        nodes = cell.nodes
        for node, inputs in enumerate(nodes):
            for place, (name, state) in enumerate(inputs):
                others = [(other, state) for other in self.family.operations if other != name]
                others += [(name, other) for other in range(node + 2) if other != state]
                for other in others:
                    changed = (other, inputs[1]) if place == 0 else (inputs[0], other)
                    yield self.family.graph((*nodes[:node], changed, *nodes[node + 1 :]))

    # --- equal functions ---

    def canonical(self, arch: str) -> str:
        """Returns the same cells with nodes, and the two inputs of each node, in the first of all possible orders.

        Two architectures have the same canonical form where they differ only in these orders, or in what `none` reads.
        Functions that are equal for other reasons (such as copies by `skip_connect`) stay apart, as in the benchmark.
        """
        whole = self.architecture(arch)
        return str(replace(whole, normal=self._canonical(whole.normal), reduce=self._canonical(whole.reduce)))

    def _canonical(self, cell: CellGraph) -> CellGraph:
        return self.family.graph(canonical_cell(cell.nodes, self.family.operations))

    # --- graphs ---

    def encode(self, archs: Sequence[str]) -> GraphBatch:
        """Returns two graphs per architecture, the normal and the reduction cell of the canonical form.

        A graph has a node for each input of the cell that is read, each operation but `none`, each node of the cell
        (the sum of two operations), and the output. Node types: 0 padding, 1 and 2 the inputs (states 0 and 1), 3
        output, 4 sum, 5 + index of the operation. The globals are width and depth: -1 for the smallest of the space, 1
        for the largest, linear between.
        """
        architectures = [self.architecture(arch) for arch in archs]
        cells = (cell for arch in architectures for cell in (arch.normal, arch.reduce))
        graphs = [_cell_graph(self._canonical(cell), self.family) for cell in cells]
        features = [(_scaled(a.width, self.widths), _scaled(a.depth, self.depths)) for a in architectures]
        return GraphBatch.of(graphs, 3 * self.family.nodes + 3, torch.tensor(features).reshape(-1, 2), 2)

    # --- networks ---

    def build(self, arch: str, num_classes: int) -> nn.Module:
        """Builds the network of `arch`, without an auxiliary head."""
        return NDSNetwork(self.architecture(arch), num_classes, stem=self.stem, in_channels=self.in_channels)

    def build_supernet(self, num_classes: int) -> NDSSupernet:
        """Builds the super-net of all widths and depths of this space."""
        sizes = self.widths[-1], self.depths, num_classes
        return NDSSupernet(self._member, self.family, *sizes, stem=self.stem, in_channels=self.in_channels)

    def connected(self, arch: str) -> bool:
        """Returns whether a path without `none` leads from the stem through the cells to the head."""
        return any(live_cells(self.architecture(arch))[:2])

    def costs(self, archs: Sequence[str], num_classes: int, image_shape: tuple[int, int, int]) -> list[Cost]:
        """See `SearchSpace.costs`; counts each part once, on networks without values: thousands a second."""
        with torch.device("meta"):
            cost = partial(nds_cost, num_classes=num_classes, image_shape=image_shape, stem=self.stem)
            return [cost(self.architecture(arch)) for arch in archs]

    def draw(self, arch: str) -> Figure:
        """Draws both cells below each other."""
        from acenas.spaces.drawing import draw_vertex_cells

        whole = self.architecture(arch)
        cells = {"normal cell": whole.normal, "reduction cell": whole.reduce}
        pictures = {title: _picture(cell, self.family) for title, cell in cells.items()}
        return draw_vertex_cells(pictures, f"width {whole.width}, depth {whole.depth}")

    # --- inside ---

    def _member(self, arch: str) -> Architecture:
        """As `architecture`. Raises `UserError` also for a width or depth that is not of this space."""
        whole = self.architecture(arch)
        for name, allowed in (("width", self.widths), ("depth", self.depths)):
            if (value := getattr(whole, name)) not in allowed:
                raise UserError(
                    f"not an architecture of this space {self.name}: {arch!r:.200}: its {name} {value} is none of "
                    f"{', '.join(map(str, allowed))}; set space.{name}s to have it"
                )
        return whole


@lru_cache(maxsize=1 << 16)
def _cell_graph(cell: CellGraph, family: Family) -> tuple[list[int], list[tuple[int, int]]]:
    """Returns types of the nodes and (source, target) of the edges, see `NDS.encode`; type 0 where there is no node.

    Order: the two inputs, for each node its two operations and their sum, the output.
    """
    number_of_state = [0, 1, *(3 * node + 4 for node in range(len(cell.nodes)))]
    types = [0] * (3 * len(cell.nodes) + 3)
    edges = []
    for node, inputs in enumerate(cell.nodes):
        total = number_of_state[node + 2]
        types[total] = SUM
        for place, (name, state) in enumerate(inputs):
            if name == NONE:
                continue
            operation = 3 * node + 2 + place
            types[operation] = FIRST_OPERATION + family.operations.index(name)
            if state < 2:
                types[state] = (BEFORE, LAST)[state]
            edges += [(number_of_state[state], operation), (operation, total)]
    types[-1] = OUTPUT
    edges += [(number_of_state[state], len(types) - 1) for state in cell.outputs]
    return types, edges


def _scaled(value: int, values: Sequence[int]) -> float:
    """Returns -1 for the smallest of `values`, 1 for the largest; relative to the value where there is only one."""
    low, high = values[0], values[-1]
    return 2 * (value - low) / (high - low) - 1 if high > low else float(value - low) / low


def _picture(cell: CellGraph, family: Family) -> tuple[list[tuple[int, int]], list[str]]:
    """Returns edges and names of the vertices of a cell."""
    types, edges = _cell_graph(cell, family)
    names = ["", "before", "last", "output", "+", *family.operations]
    present = [number for number, kind in enumerate(types) if kind]
    place = {number: vertex for vertex, number in enumerate(present)}
    return [(place[s], place[t]) for s, t in edges], [names[types[n]] for n in present]
