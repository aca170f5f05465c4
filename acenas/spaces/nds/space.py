"""The five NDS cell spaces (Radosavovic et al., ICCV 2019, arXiv 1905.13214): DARTS, ENAS, PNAS, NASNet, AmoebaNet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn
from typing_extensions import override

from acenas.errors import UserError
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
    """Architectures `normal=CELL;reduce=CELL;width=16;depth=20` of one of five papers, in one skeleton.

    A cell is `|op~state|op~state|` for each node, joined by `+`: the fields `genotype`, `width` and `depth` of the
    benchmark's own files (see `from_genotype`). States 0 and 1 are the outputs of the two cells before, state 2 + i is
    node i; a node is the sum of its two operations. Joined to the output are all nodes (DARTS, PNAS) or those that no
    other node reads (ENAS, NASNet, AmoebaNet).

    Args:
        family: `darts`, `enas`, `pnas`, `nasnet` or `amoeba`.
        variant: widths, depths and stem of the benchmark on `cifar10`, on CIFAR-10 with one width and depth
            (`cifar10_fixed`), or on `imagenet`.
        widths: in place of the variant's: channels of the first cells; each of two reduction cells doubles them.
        depths: in place of the variant's: numbers of cells.
        stem: in place of the variant's: of networks for small images (`cifar`) or large ones (`imagenet`).
        in_channels: channels of the images.

    Architectures of other widths and depths, such as those of a table, are not valid, but can be encoded and built.

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
        if family not in FAMILIES:
            raise UserError(f"space: there is no NDS family {family}; choose one of: {', '.join(FAMILIES)}")
        if variant not in ("cifar10", "cifar10_fixed", "imagenet"):
            raise UserError(f"space: variant is cifar10, cifar10_fixed or imagenet, not {variant}")
        published = {
            "cifar10": ((16, 24, 32), (4, 8, 12, 16, 20)),
            "cifar10_fixed": ((16,), (20,)),
            "imagenet": (FAMILIES[family].imagenet_widths, (6, 10, 14, 18, 22)),
        }[variant]
        widths, depths = (given or known for given, known in zip((widths, depths), published, strict=True))
        stem = stem or ("imagenet" if variant == "imagenet" else "cifar")
        if stem not in ("cifar", "imagenet"):
            raise UserError(f"space: stem is cifar or imagenet, not {stem}")
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
        """Returns the parts of `arch`, of any width and depth. Raises `UserError` where it is not of the grammar."""
        return parse(self.family, arch)

    def from_genotype(self, genotype: Mapping[str, Any], width: int, depth: int) -> str:
        """The architecture of the fields `genotype`, `width` and `depth` of the benchmark's own files.

        Raises:
            UserError: where that is no architecture of this family, or joins other nodes than its rule says.
        """
        return str(from_genotype(self.family, genotype, width, depth))

    @override
    def validate(self, arch: str) -> None:
        self._member(arch)

    def sample(self, n: int, generator: torch.Generator) -> list[str]:
        """Draws `n` architectures as AceNAS trains its super-net (arXiv 2108.03001).

        Width and depth are uniform, and so are, for each of the two inputs of a node, independently, the operation and
        the state among those that the node may read.
        """

        def draw(size: int) -> list[int]:
            drawn: list[int] = torch.randint(size, (n,), generator=generator).tolist()
            return drawn

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
        """All architectures that differ in one operation, in the state that one reads, in the width or in the depth."""
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

        Two architectures have one canonical form exactly where they differ in these orders, or in what `none` reads.
        (Functions that are equal for other reasons stay apart, as in the benchmark: copies by `skip_connect`, or nodes
        that read a node of nothing but `none`.)
        """
        whole = self.architecture(arch)
        return str(replace(whole, normal=self._canonical(whole.normal), reduce=self._canonical(whole.reduce)))

    def _canonical(self, cell: CellGraph) -> CellGraph:
        return self.family.graph(canonical_cell(cell.nodes, self.family.operations))

    # --- graphs ---

    def encode(self, archs: Sequence[str]) -> GraphBatch:
        """Returns two graphs per architecture, the normal and the reduction cell; width and depth as globals.

        A graph has a node for each input of the cell that is read, for each operation, for each sum of two (a node of
        the cell), and for the output; edges follow the data. `none` is not in the graph. It is the graph of the
        canonical form, so that equal functions are equal graphs. Node types: 0 padding, 1 and 2 the inputs (the output
        of the cell before the previous one, and of the previous one), 3 output, 4 sum, 5 + index of the operation. The
        globals are -1 for the smallest width and depth of the space and 1 for the largest, and linear between.
        """
        architectures = [self.architecture(arch) for arch in archs]
        cells = (cell for arch in architectures for cell in (arch.normal, arch.reduce))
        graphs = [_cell_graph(self._canonical(cell), self.family) for cell in cells]
        size = 3 * self.family.nodes + 3
        node = torch.tensor([types for types, _ in graphs], dtype=torch.long).reshape(-1, 2, size)
        edges = [(row, *edge) for row, (_, edges) in enumerate(graphs) for edge in edges]
        adjacency = torch.zeros(len(graphs), size, size, dtype=torch.bool)
        adjacency[torch.tensor(edges, dtype=torch.long).reshape(-1, 3).unbind(1)] = True
        features = [(_scaled(a.width, self.widths), _scaled(a.depth, self.depths)) for a in architectures]
        return GraphBatch(
            node, adjacency.view(-1, 2, size, size), node > 0, torch.tensor(features).reshape(-1, 2)
        )

    # --- networks ---

    def build(self, arch: str, num_classes: int) -> nn.Module:
        """Builds the network of `arch`, without the auxiliary head that the benchmark's trainings may have had."""
        return NDSNetwork(self.architecture(arch), num_classes, stem=self.stem, in_channels=self.in_channels)

    def build_supernet(self, num_classes: int) -> NDSSupernet:
        """Builds the widest and deepest network of this space with all operations on every edge."""
        return NDSSupernet(
            self._member,
            self.family.operations,
            self.family.nodes,
            self.widths[-1],
            self.depths,
            num_classes,
            stem=self.stem,
            in_channels=self.in_channels,
        )

    def connected(self, arch: str) -> bool:
        """Returns whether a path without `none` leads from the stem through the cells to the head."""
        return any(live_cells(self.architecture(arch))[:2])

    def costs(self, archs: Sequence[str], num_classes: int, image_shape: tuple[int, int, int]) -> list[Cost]:
        """As `SearchSpace.costs`; counted part by part, on networks without values, thousands a second."""
        with torch.device("meta"):
            cost = partial(nds_cost, num_classes=num_classes, image_shape=image_shape, stem=self.stem)
            return [cost(self.architecture(arch)) for arch in archs]

    def draw(self, arch: str) -> Figure:
        """Draws both cells below each other: every node a sum of two operations."""
        from acenas.spaces.drawing import draw_vertex_cells

        whole = self.architecture(arch)
        cells = {"normal cell": whole.normal, "reduction cell": whole.reduce}
        pictures = {title: _picture(cell, self.family) for title, cell in cells.items()}
        return draw_vertex_cells(pictures, f"width {whole.width}, depth {whole.depth}")

    # --- inside ---

    def _member(self, arch: str) -> Architecture:
        """The parts of `arch`. Raises `UserError` where it is not of this space, width and depth included."""
        whole = self.architecture(arch)
        for name, value, allowed in (
            ("width", whole.width, self.widths),
            ("depth", whole.depth, self.depths),
        ):
            if value not in allowed:
                raise UserError(
                    f"not an architecture of this space {self.name}: {arch!r:.200}: its {name} {value} is none of "
                    f"{', '.join(map(str, allowed))}; set space.{name}s to have it"
                )
        return whole


@lru_cache(maxsize=1 << 16)
def _cell_graph(cell: CellGraph, family: Family) -> tuple[list[int], list[tuple[int, int]]]:
    """Types of all nodes, 0 where there is none, and (source, target) of the edges; see `NDS.encode`.

    The order is: the two inputs, then for each node its two operations and their sum, then the output.
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
    """-1 at the smallest of `values`, 1 at the largest; 0 where they are one."""
    low, high = values[0], values[-1]
    return 2 * (value - low) / (high - low) - 1 if high > low else float(value - low) / low


def _picture(cell: CellGraph, family: Family) -> tuple[list[tuple[int, int]], list[str]]:
    """Edges and names of the vertices of a cell."""
    types, edges = _cell_graph(cell, family)
    names = ["", "before", "last", "output", "+", *family.operations]
    present = [number for number, kind in enumerate(types) if kind]
    place = {number: vertex for vertex, number in enumerate(present)}
    return [(place[s], place[t]) for s, t in edges], [names[types[n]] for n in present]
