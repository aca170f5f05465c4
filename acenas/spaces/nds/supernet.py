"""The super-net of an NDS cell space: the deepest and widest network with every operation on every edge."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import cast

from torch import Tensor, nn
from typing_extensions import override

from acenas.spaces.nds.cells import NONE, Architecture, Family
from acenas.spaces.nds.network import (
    CellPlace,
    Projection,
    Source,
    Stem,
    StemName,
    cell_output,
    cell_places,
    live_cells,
    nds_operation,
    stride,
)
from acenas.spaces.sliced import SlicedLinear
from acenas.spaces.supernet import Memo, SupernetNetwork, without_running_averages


class SharedNDSCell(nn.Module):
    """A cell with every operation on each of its edges, as wide as its widest path.

    An input comes from the stem or from a cell, and may have to be halved; each case has its own projection. In the
    kernels of a projection, each node of the earlier cell has fixed channels, whichever nodes its output concatenates;
    a narrower path uses the first channels of each node.

    Args:
        family: of the cell.
        places: of this cell in networks of any depth, at full width.
    """

    def __init__(self, family: Family, places: Sequence[CellPlace]) -> None:
        super().__init__()
        self.nodes = nodes = family.nodes
        channels, reduction = places[0].channels, places[0].reduction

        def projection(source: Source, halve: bool) -> Projection:
            inputs = source.channels * (1 if source.kind == "stem" else nodes)
            return Projection(inputs, channels, halve)

        self.project_before = nn.ModuleDict(
            {_kind(p.before, p.halve_before): projection(p.before, p.halve_before) for p in places}
        )
        self.project_last = nn.ModuleDict({_kind(p.last): projection(p.last, False) for p in places})
        names = [name for name in family.operations if name != NONE]
        self.operations = nn.ModuleDict(
            {
                f"{node}_{source}": nn.ModuleDict(
                    {name: nds_operation(name, channels, stride(reduction, source)) for name in names}
                )
                for node in range(nodes)
                for source in range(node + 2)
            }
        )

    def forward(self, before: Tensor, last: Tensor, arch: Architecture, place: CellPlace) -> Tensor:
        """Returns the output of the cell in `place`, from the outputs of the two cells before it."""
        graph = arch.cell(place.reduction)
        computed: dict[tuple[int, int, str], Tensor] = {}  # both inputs of a node may be equal

        def operate(node: int, input_: int, state: Tensor) -> Tensor:
            name, source = graph.nodes[node][input_]
            key = node, source, name
            if key not in computed:
                computed[key] = self._operation(*key)(state)
            return computed[key]

        before = self._project(self._before(place), before, place.before, arch, place.channels)
        last = self._project(self._last(place), last, place.last, arch, place.channels)
        return cell_output(before, last, graph, place.reduction, operate)

    def path(self, arch: Architecture, place: CellPlace) -> list[nn.Module]:
        """Returns the modules that the output depends on, each once."""
        graph = arch.cell(place.reduction)
        projections = zip((self._before(place), self._last(place)), graph.reads, strict=True)
        inputs = ((node, state, name) for node, both in enumerate(graph.nodes) for name, state in both)
        operations = [self._operation(*each) for each in dict.fromkeys(inputs) if each[2] != NONE]
        return [*(part for part, read in projections if read), *operations]

    def _before(self, place: CellPlace) -> Projection:
        return cast(Projection, self.project_before[_kind(place.before, place.halve_before)])

    def _last(self, place: CellPlace) -> Projection:
        return cast(Projection, self.project_last[_kind(place.last)])

    def _operation(self, node: int, source: int, name: str) -> nn.Module:
        return cast(nn.ModuleDict, self.operations[f"{node}_{source}"])[name]

    def _project(
        self, projection: Projection, x: Tensor, source: Source, arch: Architecture, channels: int
    ) -> Tensor:
        inputs = node_channels(source, arch, projection.in_channels // self.nodes)
        return cast(Tensor, projection(x, channels, inputs))


def _kind(source: Source, halve: bool = False) -> str:
    return ("stem" if source.kind == "stem" else "cells") + ("_halved" if halve else "")


def node_channels(source: Source, arch: Architecture, most: int) -> list[slice]:
    """Returns the channels of `source` in a layer that has `most` channels for each node of a cell."""
    if source.kind == "stem":
        return [slice(source.channels)]
    starts = [(state - 2) * most for state in arch.cell(source.kind == "reduce").outputs]
    return [slice(start, start + source.channels) for start in starts]


class NDSSupernet(SupernetNetwork):
    """Stem, three stages of shared cells, head (AceNAS, arXiv 2108.03001).

    A shorter path uses the first cells of each stage, a narrower one the first channels of the shared kernels. A path
    equals the stand-alone network of its architecture, except where a node applies one operation to one state twice:
    both are the same shared operation.

    Args:
        parse: reads an architecture. Raises `UserError` for one that is not of this super-net.
        family: of the cells.
        width: the largest.
        depths: all.
        num_classes: of the head.
        stem: for small images (`cifar`) or large ones (`imagenet`).
        in_channels: of the images.
    """

    def __init__(
        self,
        parse: Callable[[str], Architecture],
        family: Family,
        width: int,
        depths: Sequence[int],
        num_classes: int,
        *,
        stem: StemName = "cifar",
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self._parse = lru_cache(maxsize=4096)(parse)
        self._places = lru_cache(maxsize=256)(lambda path_width, depth: cell_places(path_width, depth, stem))
        self.stem = Stem(stem, in_channels, width)
        places: dict[str, list[CellPlace]] = {}
        for depth in depths:
            for place in self._places(width, depth):
                places.setdefault(_name(place), []).append(place)
        self.cells = nn.ModuleDict({name: SharedNDSCell(family, places[name]) for name in sorted(places)})
        self.features = width * 4
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = SlicedLinear(self.features * family.nodes, num_classes)
        without_running_averages(self)

    @override
    def forward(self, images: Tensor, arch: str, memo: Memo | None = None) -> Tensor:
        whole = self._parse(arch)
        before, last = self.stem(images, whole.width)
        places = self._places(whole.width, whole.depth)
        for place in places:
            before, last = last, self.cells[_name(place)](before, last, whole, place)
        inputs = node_channels(places[-1].output, whole, self.features)
        return cast(Tensor, self.classifier(self.head(last), inputs))

    def active_parameters(self, arch: str) -> list[nn.Parameter]:
        """Returns whole kernels; a path may use only their first channels."""
        whole = self._parse(arch)
        stem_before, stem_last, *live = live_cells(whole)
        parts = self.stem.path(stem_before, stem_last)
        for place, is_live in zip(self._places(whole.width, whole.depth), live, strict=True):
            if is_live:
                parts += cast(SharedNDSCell, self.cells[_name(place)]).path(whole, place)
        return [parameter for part in [*parts, self.classifier] for parameter in part.parameters()]


def _name(place: CellPlace) -> str:
    return f"stage{place.stage + 1}_cell{place.position + 1}"
