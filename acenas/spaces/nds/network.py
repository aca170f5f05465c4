"""The networks of the NDS spaces: the cells of five papers in the skeleton of DARTS.

Radosavovic et al., ICCV 2019, arXiv 1905.13214, appendix; the skeleton is that of Liu et al., ICLR 2019, arXiv
1806.09055: a stem, cells of which two halve height and width and double the channels, a head.
"""

import itertools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from acenas.spaces.cost import Cost, count_cost
from acenas.spaces.nds.cells import MIN_DEPTH, NONE, Architecture, CellGraph
from acenas.spaces.sliced import SlicedBatchNorm2d, SlicedConv2d, SlicedSequential

StemName = Literal["cifar", "imagenet"]


# --- operations ---


def nds_operation(name: str, channels: int, stride: int) -> nn.Module:
    """Returns the operation called `name`, which keeps the number of its input's channels, `channels` at most.

    Pools have no normalisation, and averages ignore the padding. Raises `ValueError` where there is no such operation;
    `none` is not built, see `cell_output`.
    """
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else Projection(channels, channels, halve=True, keep=True)
    kind, _, size = name.rpartition("_")
    kernel = int(size[-1]) if size[-1:].isdigit() else 0
    match kind:
        case "max_pool":
            return nn.MaxPool2d(kernel, stride, padding=kernel // 2)
        case "avg_pool":
            return nn.AvgPool2d(kernel, stride, padding=kernel // 2, count_include_pad=False)
        case "conv":
            return SlicedSequential(
                nn.ReLU(), _convolution(channels, kernel, stride), SlicedBatchNorm2d(channels)
            )
        case "sep_conv" | "dil_sep_conv" | "dil_conv":
            dilation = 2 if kind.startswith("dil") else 1
            strides = (stride,) if kind == "dil_conv" else (stride, 1)
            parts = (_separable(channels, kernel, s, dilation) for s in strides)
            return SlicedSequential(*itertools.chain.from_iterable(parts))
        case "conv_3x1" | "conv_7x1":
            return SlicedSequential(
                nn.ReLU(),
                _convolution(channels, (1, kernel), (1, stride)),
                _convolution(channels, (kernel, 1), (stride, 1)),
                SlicedBatchNorm2d(channels),
            )
    raise ValueError(f"unknown operation {name!r}")


def _convolution(
    channels: int,
    kernel: int | tuple[int, int],
    stride: int | tuple[int, int] = 1,
    dilation: int = 1,
    groups: int = 1,
) -> SlicedConv2d:
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (height // 2 * dilation, width // 2 * dilation)
    return SlicedConv2d(channels, channels, kernel, stride, padding, dilation, groups, bias=False)


def _separable(channels: int, kernel: int, stride: int, dilation: int) -> list[nn.Module]:
    """Returns ReLU, depthwise convolution, 1 × 1 convolution, normalisation."""
    return [
        nn.ReLU(),
        _convolution(channels, kernel, stride, dilation, groups=channels),
        _convolution(channels, 1),
        SlicedBatchNorm2d(channels),
    ]


class Projection(nn.Module):
    """ReLU, 1 × 1 convolution, normalisation: makes the input of a cell as wide as its nodes.

    Args:
        in_channels: largest number of channels of the input.
        out_channels: largest number of channels of the output.
        halve: also halves height and width ("factorized reduction"): two convolutions of stride 2, on grids that are
            one pixel apart, give half of the channels each.
        keep: by default the output has as many channels as the input, not all.
    """

    def __init__(self, in_channels: int, out_channels: int, halve: bool = False, keep: bool = False) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.halve, self.keep = halve, keep
        self.relu = nn.ReLU()
        if halve:
            half = out_channels // 2
            self.conv = SlicedConv2d(in_channels, half, 1, stride=2, bias=False)
            self.conv_shifted = SlicedConv2d(in_channels, out_channels - half, 1, stride=2, bias=False)
        else:
            self.conv = SlicedConv2d(in_channels, out_channels, 1, bias=False)
        self.norm = SlicedBatchNorm2d(out_channels)

    def forward(
        self, x: Tensor, out_channels: int | None = None, inputs: Sequence[slice] | None = None
    ) -> Tensor:
        """`[B, c, H, W]` to `[B, out_channels, H, W]`, or half of H and W, rounded up; see `SlicedConv2d.forward`."""
        width = out_channels or (x.shape[1] if self.keep else self.out_channels)
        x = self.relu(x)
        if not self.halve:
            return cast(Tensor, self.norm(self.conv(x, width, inputs)))
        even = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))  # so that both grids have the same size
        shifted = self.conv_shifted(even[:, :, 1:, 1:], width - width // 2, inputs)
        return cast(Tensor, self.norm(torch.cat([self.conv(x, width // 2, inputs), shifted], dim=1)))


# --- cells ---


def cell_output(
    before: Tensor,
    last: Tensor,
    graph: CellGraph,
    reduction: bool,
    operate: Callable[[int, int, Tensor], Tensor],
) -> Tensor:
    """Returns the output of a cell, `[B, C * outputs, H', W']`: each node sums two operations on earlier states.

    Args:
        before: state 0, `[B, C, H, W]`.
        last: state 1, of the same shape.
        graph: the cell.
        reduction: whether operations on states 0 and 1 halve height and width.
        operate: applies an operation, given the number of its node, 0 or 1 for the node's first or second input, and
            the state that it reads; not called for `none`.
    """
    states = [before, last]
    for node, inputs in enumerate(graph.nodes):
        terms = [operate(node, i, states[s]) for i, (name, s) in enumerate(inputs) if name != NONE]
        if terms:
            states.append(sum(terms[1:], start=terms[0]))
        else:
            height, width = (-(-size // (2 if reduction else 1)) for size in last.shape[2:])
            states.append(last.new_zeros(*last.shape[:2], height, width))
    return torch.cat([states[state] for state in graph.outputs], dim=1)


class Source(NamedTuple):
    """What an input of a cell is the output of, and the channels of that: all of the stem's, or those of a node."""

    kind: Literal["stem", "normal", "reduce"]
    channels: int


@dataclass(frozen=True)
class CellPlace:
    """A position in the skeleton, for a cell.

    Attributes:
        stage: 0, 1 or 2.
        position: in its stage, from 0.
        channels: of each node.
        reduction: whether it is a reduction cell: the first ones of stages 1 and 2 are.
        halve_before: whether `before` must be halved, as the previous cell is a reduction cell.
        before: the output of the cell before the previous one.
        last: the output of the previous cell.
    """

    stage: int
    position: int
    channels: int
    reduction: bool
    halve_before: bool
    before: Source
    last: Source

    @property
    def output(self) -> Source:
        """The output of the cell."""
        return Source("reduce" if self.reduction else "normal", self.channels)


def cell_places(width: int, depth: int, stem: StemName) -> list[CellPlace]:
    """Returns the places of `depth` cells, the first of `width` channels. Raises `ValueError` for fewer than three."""
    if depth < MIN_DEPTH:
        raise ValueError(f"a network has at least {MIN_DEPTH} cells, not {depth}")
    before = last = Source("stem", 3 * width if stem == "cifar" else width)
    places: list[CellPlace] = []
    halved = stem == "imagenet"  # by the second part of the stem
    starts = _stage_starts(depth)
    for index in range(depth):
        stage = sum(index >= start for start in starts[1:])
        reduction = stage > 0 and index == starts[stage]
        channels = width * 2**stage
        places.append(CellPlace(stage, index - starts[stage], channels, reduction, halved, before, last))
        before, last = last, places[-1].output
        halved = reduction
    return places


def _stage_starts(depth: int) -> tuple[int, int, int]:
    """Returns the index of the first cell of each stage."""
    return 0, depth // 3, 2 * depth // 3


def source_channels(arch: Architecture, source: Source) -> int:
    """Returns all channels of an input of a cell."""
    if source.kind == "stem":
        return source.channels
    return source.channels * len(arch.cell(source.kind == "reduce").outputs)


def live_cells(arch: Architecture) -> list[bool]:
    """Returns which outputs the logits depend on: those of the two stem parts, then those of the cells.

    The next cell reads an output as its state 1, the cell after that as its state 0.
    """
    reductions = _stage_starts(arch.depth)[1:]
    live = [False] * (arch.depth + 1) + [True]
    for index in reversed(range(arch.depth)):
        if live[index + 2]:
            reads_before, reads_last = arch.cell(index in reductions).reads
            live[index] |= reads_before
            live[index + 1] |= reads_last
    return live


class NDSCell(nn.Module):
    """A cell at its place; its inputs have `before` and `last` channels."""

    def __init__(self, graph: CellGraph, place: CellPlace, before: int, last: int) -> None:
        super().__init__()
        self.graph, self.reduction = graph, place.reduction
        self.project_before = Projection(before, place.channels, halve=place.halve_before)
        self.project_last = Projection(last, place.channels)
        self.operations = nn.ModuleDict(
            {
                f"{node}{input_}": nds_operation(name, place.channels, stride(place.reduction, source))
                for node, inputs in enumerate(graph.nodes)
                for input_, (name, source) in enumerate(inputs)
                if name != NONE
            }
        )

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        """Returns the output of the cell, from the outputs of the two cells before it."""

        def operate(node: int, input_: int, state: Tensor) -> Tensor:
            return cast(Tensor, self.operations[f"{node}{input_}"](state))

        before, last = self.project_before(before), self.project_last(last)
        return cell_output(before, last, self.graph, self.reduction, operate)

    @override
    def extra_repr(self) -> str:
        nodes = " + ".join(f"({a}~{i}, {b}~{j})" for (a, i), (b, j) in self.graph.nodes)
        return f"{nodes} -> {list(self.graph.outputs)}, reduction={self.reduction}"


def stride(reduction: bool, source: int) -> int:
    """Returns the stride of an operation on state `source`: 2 on the inputs of a reduction cell, else 1."""
    return 2 if reduction and source < 2 else 1


# --- the network ---


class Stem(nn.Module):
    """Computes the two inputs of the first cell, which has up to `width` channels, from images.

    `cifar`: one 3 × 3 convolution with 3 × `width` channels gives both. `imagenet`: three convolutions of stride 2, the
    first with width / 2 channels; the second gives the first input, the third the second input. Raises `ValueError`
    for another name.
    """

    def __init__(self, name: StemName, in_channels: int, width: int) -> None:
        super().__init__()
        self.name, self.width = name, width
        if name == "cifar":
            self.first = _stem_part(in_channels, 3 * width, stride=1)
        elif name == "imagenet":
            first, second = (
                _stem_part(in_channels, width // 2, stride=2),
                _stem_part(width // 2, width, stride=2),
            )
            self.first = nn.Sequential(*first, nn.ReLU(), *second)
            self.second = nn.Sequential(nn.ReLU(), *_stem_part(width, width, stride=2))
        else:
            raise ValueError(f"unknown stem {name!r}; there are cifar and imagenet")

    def forward(self, images: Tensor, width: int | None = None) -> tuple[Tensor, Tensor]:
        """Returns the two inputs of a first cell of `width` channels (None for all) from images `[B, C, H, W]`."""
        width = self.width if width is None else width
        if self.name == "cifar":
            output = _run(self.first, images, [3 * width])
            return output, output
        first = _run(self.first, images, [width // 2, width])
        return first, _run(self.second, first, [width])

    def path(self, first: bool, second: bool) -> list[nn.Module]:
        """Returns the parts that compute the first input, the second input, or both."""
        if self.name == "cifar":
            return [self.first] if first or second else []
        return [self.first, self.second] if second else [self.first] if first else []


def _stem_part(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    conv = SlicedConv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
    return nn.Sequential(conv, SlicedBatchNorm2d(out_channels))


def _run(layers: nn.Sequential, x: Tensor, widths: Sequence[int]) -> Tensor:
    """Runs `layers`; their convolutions compute the first `widths` channels."""
    remaining = iter(widths)
    for layer in layers:
        x = layer(x, next(remaining)) if isinstance(layer, SlicedConv2d) else layer(x)
    return x


def nds_head(channels: int, num_classes: int) -> nn.Sequential:
    """Returns a global average pool and a linear layer."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))


class NDSNetwork(nn.Module):
    """Stem, cells, head; without the auxiliary head that some trainings add.

    Args:
        arch: cells, width and depth; each of two reduction cells doubles the channels.
        num_classes: of the head.
        stem: for small images (`cifar`) or large ones (`imagenet`).
        in_channels: of the images.

    Raises:
        ValueError: where an operation or a stem is unknown, or there are fewer than three cells.

    >>> cell = CellGraph(((("skip_connect", 0), ("max_pool_3x3", 1)), (("skip_connect", 2), ("skip_connect", 2))), (3,))
    >>> NDSNetwork(Architecture(cell, cell, width=8, depth=3), num_classes=10)(torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self, arch: Architecture, num_classes: int, *, stem: StemName = "cifar", in_channels: int = 3
    ) -> None:
        super().__init__()
        places = cell_places(arch.width, arch.depth, stem)
        self.stem = Stem(stem, in_channels, arch.width)
        self.cells = nn.ModuleList(
            NDSCell(arch.cell(p.reduction), p, source_channels(arch, p.before), source_channels(arch, p.last))
            for p in places
        )
        self.head = nds_head(source_channels(arch, places[-1].output), num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """`[B, C, H, W]` to `[B, num_classes]`."""
        before, last = self.stem(images)
        for cell in self.cells:
            before, last = last, cell(before, last)
        return cast(Tensor, self.head(last))


# --- costs ---


def nds_cost(
    arch: Architecture, num_classes: int, *, image_shape: tuple[int, int, int], stem: StemName = "cifar"
) -> Cost:
    """Returns `count_cost` of the `NDSNetwork`, faster: a sum over its parts, each counted once."""
    places = cell_places(arch.width, arch.depth, stem)
    before_size = size = image_shape[1:]
    if stem == "imagenet":
        before_size = _half(_half(size))
        size = _half(before_size)
    parts = [_part_cost(Stem, (stem, image_shape[0], arch.width), image_shape)]
    for place in places:
        channels, inside = place.channels, _half(size) if place.reduction else size
        before, last = source_channels(arch, place.before), source_channels(arch, place.last)
        parts.append(_part_cost(Projection, (before, channels, place.halve_before), (before, *before_size)))
        parts.append(_part_cost(Projection, (last, channels), (last, *size)))
        for name, source in itertools.chain.from_iterable(arch.cell(place.reduction).nodes):
            if name != NONE:
                operation = name, channels, stride(place.reduction, source)
                input_size = size if source < 2 else inside
                parts.append(_part_cost(nds_operation, operation, (channels, *input_size)))
        before_size, size = size, inside
    features = source_channels(arch, places[-1].output)
    parts.append(_part_cost(nds_head, (features, num_classes), (features, *size)))
    return Cost(*(round(sum(values), 6) for values in zip(*parts, strict=True)))


def _half(size: tuple[int, int]) -> tuple[int, int]:
    return (size[0] + 1) // 2, (size[1] + 1) // 2


@cache
def _part_cost(
    make: Callable[..., nn.Module], arguments: tuple[Hashable, ...], input_shape: tuple[int, int, int]
) -> Cost:
    return count_cost(make(*arguments), input_shape)
