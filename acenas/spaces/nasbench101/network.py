"""The network of NAS-Bench-101 (Ying et al., ICML 2019, arXiv 1902.09635, section 2 and supplement S1)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from acenas.spaces.nasbench101.cells import OPERATIONS

KERNELS = {"conv3x3-bn-relu": 3, "conv1x1-bn-relu": 1}
"""Kernel sizes of the operations that are convolutions; the other one is a 3 × 3 max pool."""


class ConvBNReLU(nn.Sequential):
    """Convolution without bias, batch normalisation, ReLU; height and width stay.

    The benchmark's normalisation decays its averages by 0.997 a step, which is a momentum of 0.003 here.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: odd.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False),
            nn.BatchNorm2d(out_channels, eps=1e-5, momentum=0.003),
            nn.ReLU(),
        )


def nasbench101_operation(name: str, channels: int) -> nn.Module:
    """The operation called `name`, which keeps the shape `[B, channels, H, W]`.

    Raises:
        ValueError: where `name` is not one of `OPERATIONS`.
    """
    if name not in OPERATIONS:
        raise ValueError(f"unknown operation {name!r}; NAS-Bench-101 has {', '.join(OPERATIONS)}")
    if name in KERNELS:
        return ConvBNReLU(channels, channels, KERNELS[name])
    return nn.MaxPool2d(3, stride=1, padding=1)


def vertex_channels(matrix: NDArray[np.bool_], in_channels: int, out_channels: int) -> list[int]:
    """The channels of each vertex of a pruned cell, as the benchmark's `compute_vertex_channels`.

    The vertices before the output share its channels as evenly as possible, the first ones taking one more where
    that does not come out even. Every other vertex is as wide as the widest one it leads to.

    Args:
        matrix: ``[V, V]``, (source, target), edges above the diagonal.
        in_channels: of the first vertex.
        out_channels: of the last vertex.

    Raises:
        ValueError: where more vertices lead to the output than it has channels.

    >>> diamond = np.array([[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]], dtype=bool)
    >>> vertex_channels(diamond, 128, 257)
    [128, 129, 128, 257]
    """
    last = len(matrix) - 1
    channels = [in_channels, *[0] * (last - 1), out_channels]
    before_output = [vertex for vertex in range(1, last) if matrix[vertex, last]]
    if len(before_output) > out_channels:
        raise ValueError(
            f"{len(before_output)} vertices cannot share the {out_channels} channels of the output"
        )
    for place, vertex in enumerate(before_output):
        share, left = divmod(out_channels, len(before_output))
        channels[vertex] = share + (place < left)
    for vertex in reversed(range(1, last)):
        if not matrix[vertex, last]:
            channels[vertex] = max(
                channels[target] for target in range(vertex + 1, last) if matrix[vertex, target]
            )
    return channels


def cell_output(
    x: Tensor,
    inputs: Sequence[Sequence[int]],
    channels: Sequence[int],
    project: Callable[[int, Tensor], Tensor],
    operate: Callable[[int, Tensor], Tensor],
) -> Tensor:
    """The output of a cell.

    A vertex applies its operation to the sum of its inputs: the cell's input by a projection of the vertex' own,
    other vertices cut to their first channels where they are wider. The output joins the vertices that lead to it;
    where the input does too, its projection is added to them.

    Args:
        x: ``[B, in_channels, H, W]``.
        inputs: for each vertex those that lead to it, ascending.
        channels: of each vertex.
        project: the projection of a vertex, of `x`.
        operate: the operation of a vertex, of the sum of its inputs.

    Returns:
        ``[B, out_channels, H, W]``.
    """
    vertices, last = [x], len(inputs) - 1
    for target in range(1, last):
        width = channels[target]
        terms = [
            project(target, x) if source == 0 else vertices[source][:, :width] for source in inputs[target]
        ]
        vertices.append(operate(target, sum(terms[1:], start=terms[0])))
    joined = [vertices[source] for source in inputs[last] if source != 0]
    if 0 not in inputs[last]:
        return torch.cat(joined, dim=1)
    return project(last, x) + torch.cat(joined, dim=1) if joined else project(last, x)


class NasBench101Cell(nn.Module):
    """A directed graph of operations, as `cell_output` says; a projection is a 1 × 1 convolution with BN and ReLU.

    Args:
        matrix: ``[V, V]`` bool, (source, target), edges above the diagonal; every vertex is on a path from the first
            to the last one.
        operations: V names; those of the first and last vertex are not looked at.
        in_channels: channels of the input.
        out_channels: channels of the output.

    Raises:
        ValueError: where an operation is unknown, a vertex is on no path, or as `vertex_channels`.
    """

    def __init__(
        self, matrix: NDArray[np.bool_], operations: Sequence[str], in_channels: int, out_channels: int
    ) -> None:
        super().__init__()
        matrix = np.asarray(matrix, np.bool_)
        if not (matrix[:-1].any(1).all() and matrix[:, 1:].any(0).all()) or np.tril(matrix).any():
            raise ValueError("the cell is not pruned, or its vertices are not numbered along the data")
        last = len(matrix) - 1
        self.channels = vertex_channels(matrix, in_channels, out_channels)
        self.inputs = [np.flatnonzero(matrix[:, target]).tolist() for target in range(last + 1)]
        self.projections = nn.ModuleDict(
            {
                str(target): ConvBNReLU(in_channels, self.channels[target], 1)
                for target in range(1, last + 1)
                if matrix[0, target]
            }
        )
        self.operations = nn.ModuleDict(
            {
                str(vertex): nasbench101_operation(operations[vertex], self.channels[vertex])
                for vertex in range(1, last)
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """`[B, in_channels, H, W]` to `[B, out_channels, H, W]`."""
        return cell_output(
            x,
            self.inputs,
            self.channels,
            lambda target, value: cast(Tensor, self.projections[str(target)](value)),
            lambda target, value: cast(Tensor, self.operations[str(target)](value)),
        )

    def extra_repr(self) -> str:
        """The edges and the channels."""
        edges = " ".join(
            f"{source}→{target}" for target, sources in enumerate(self.inputs) for source in sources
        )
        return f"edges {edges}, channels {self.channels}"


def nasbench101_skeleton(
    make_cell: Callable[[int, int], nn.Module],
    num_classes: int,
    *,
    in_channels: int = 3,
    channels: int = 128,
    cells_per_stage: int = 3,
    stages: int = 3,
) -> OrderedDict[str, nn.Module]:
    """The layers of the network by name: stem, stages of cells with a max pool between two stages, head.

    Args:
        make_cell: makes the cell of so many channels of its input and of its output.
        num_classes: logits of the output.
        in_channels: channels of the images.
        channels: of the first stage; each further stage doubles them.
        cells_per_stage: cells in a stage.
        stages: number of stages.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["stem"] = ConvBNReLU(in_channels, channels, 3)
    width = channels
    for stage in range(1, stages + 1):
        if stage > 1:
            layers[f"pool{stage - 1}"] = nn.MaxPool2d(2)
        for cell in range(1, cells_per_stage + 1):
            out_channels = channels * 2 ** (stage - 1)
            layers[f"stage{stage}_cell{cell}"] = make_cell(width, out_channels)
            width = out_channels
    layers["head"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, num_classes))
    return layers


class NasBench101Network(nn.Sequential):
    """Stem, stages of equal cells with a max pool between two stages, head.

    The defaults are the benchmark's network: stages of 3 cells with 128, 256 and 512 channels.

    Args:
        matrix: ``[V, V]`` bool, (source, target), of a pruned cell.
        operations: V names, from `input` to `output`.
        num_classes: logits of the output.
        skeleton: the other arguments of `nasbench101_skeleton`.

    Raises:
        ValueError: as `NasBench101Cell`.

    >>> chain = np.eye(3, k=1, dtype=bool)
    >>> network = NasBench101Network(chain, ["input", "maxpool3x3", "output"], num_classes=10)
    >>> sum(parameter.numel() for parameter in network.parameters())
    882570
    """

    def __init__(
        self, matrix: NDArray[np.bool_], operations: Sequence[str], num_classes: int, **skeleton: int
    ) -> None:
        super().__init__(
            nasbench101_skeleton(
                lambda width, out_channels: NasBench101Cell(matrix, operations, width, out_channels),
                num_classes,
                **skeleton,
            )
        )
