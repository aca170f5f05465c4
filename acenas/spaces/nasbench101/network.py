"""The network of NAS-Bench-101 (Ying et al., ICML 2019, arXiv 1902.09635, section 2 and supplement S1)."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import override

from acenas.spaces.nasbench101.cells import OPERATIONS

KERNELS = {"conv3x3-bn-relu": 3, "conv1x1-bn-relu": 1}
"""Kernel sizes of the operations that are convolutions; the other one is a 3 × 3 max pool."""


class ConvBNReLU(nn.Sequential):
    """Convolution without bias and with an odd kernel, batch normalisation, ReLU; keeps height and width.

    The benchmark's running averages decay by 0.997 a step, which is a momentum of 0.003 in PyTorch.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False),
            nn.BatchNorm2d(out_channels, eps=1e-5, momentum=0.003),
            nn.ReLU(),
        )


def nasbench101_operation(name: str, channels: int) -> nn.Module:
    """Returns the operation called `name`, which keeps the shape `[B, channels, H, W]`. Raises `ValueError`."""
    if name not in OPERATIONS:
        raise ValueError(f"unknown operation {name!r}; NAS-Bench-101 has {', '.join(OPERATIONS)}")
    if name in KERNELS:
        return ConvBNReLU(channels, channels, KERNELS[name])
    return nn.MaxPool2d(3, stride=1, padding=1)


def vertex_channels(matrix: NDArray[np.bool_], in_channels: int, out_channels: int) -> list[int]:
    """Returns the channels of each vertex of a pruned cell, as the benchmark's `compute_vertex_channels`.

    The vertices before the output share its channels evenly; where that is not possible, the first ones have one more.
    Every other vertex is as wide as the widest one that it leads to. Raises `ValueError` where more vertices lead to
    the output than it has channels.

    >>> diamond = np.array([[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]], dtype=bool)
    >>> vertex_channels(diamond, 128, 257)
    [128, 129, 128, 257]
    """
    last = len(matrix) - 1
    channels = [in_channels, *[0] * (last - 1), out_channels]
    before_output = [vertex for vertex in range(1, last) if matrix[vertex, last]]
    count = len(before_output)
    if count > out_channels:
        raise ValueError(f"{count} vertices cannot share the {out_channels} channels of the output")
    for place, vertex in enumerate(before_output):
        channels[vertex] = out_channels // count + (place < out_channels % count)
    for vertex in reversed(range(1, last)):
        if not matrix[vertex, last]:
            channels[vertex] = max(channels[t] for t in range(vertex + 1, last) if matrix[vertex, t])
    return channels


def cell_output(
    x: Tensor,
    inputs: Sequence[Sequence[int]],
    channels: Sequence[int],
    project: Callable[[int, Tensor], Tensor],
    operate: Callable[[int, Tensor], Tensor],
) -> Tensor:
    """Returns the output of a cell, ``[B, out_channels, H, W]``.

    A vertex applies its operation to the sum of its inputs: a projection of the cell's input, with weights of its own,
    and the first channels of other vertices. The output concatenates the vertices that lead to it; where the cell's
    input leads to it too, a projection of that is added.

    Args:
        x: the input, ``[B, in_channels, H, W]``.
        inputs: for each vertex those that lead to it, ascending.
        channels: of each vertex.
        project: applies the projection of a vertex to `x`.
        operate: applies the operation of a vertex to the sum of its inputs.
    """
    vertices, last = [x], len(inputs) - 1
    for target in range(1, last):
        terms = [vertices[s][:, : channels[target]] if s else project(target, x) for s in inputs[target]]
        vertices.append(operate(target, sum(terms[1:], start=terms[0])))
    joined = [vertices[source] for source in inputs[last] if source != 0]
    if 0 not in inputs[last]:
        return torch.cat(joined, dim=1)
    return project(last, x) + torch.cat(joined, dim=1) if joined else project(last, x)


class NasBench101Cell(nn.Module):
    """A pruned cell, see `cell_output`; a projection is a 1 × 1 convolution with BN and ReLU.

    Args:
        matrix: ``[V, V]`` bool, (source, target), edges above the diagonal.
        operations: V names; the first and the last are ignored.
        in_channels: of the input.
        out_channels: of the output.

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
            {str(v): ConvBNReLU(in_channels, self.channels[v], 1) for v in np.flatnonzero(matrix[0]).tolist()}
        )
        self.operations = nn.ModuleDict(
            {str(v): nasbench101_operation(operations[v], self.channels[v]) for v in range(1, last)}
        )

    def forward(self, x: Tensor) -> Tensor:
        """`[B, in_channels, H, W]` to `[B, out_channels, H, W]`."""

        def project(target: int, value: Tensor) -> Tensor:
            return cast(Tensor, self.projections[str(target)](value))

        def operate(target: int, value: Tensor) -> Tensor:
            return cast(Tensor, self.operations[str(target)](value))

        return cell_output(x, self.inputs, self.channels, project, operate)

    @override
    def extra_repr(self) -> str:
        edges = " ".join(f"{s}→{target}" for target, sources in enumerate(self.inputs) for s in sources)
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
    """Returns the layers of the network by name: stem, stages of cells with a max pool between two stages, head.

    Args:
        make_cell: makes a cell, given the channels of its input and of its output.
        num_classes: of the head.
        in_channels: of the images.
        channels: of the first stage; each further stage doubles them.
        cells_per_stage: of each of `stages`.
        stages: at least 1.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["stem"] = ConvBNReLU(in_channels, channels, 3)
    width = channels
    for stage in range(stages):
        if stage:
            layers[f"pool{stage}"] = nn.MaxPool2d(2)
        for cell in range(cells_per_stage):
            layers[f"stage{stage + 1}_cell{cell + 1}"] = make_cell(width, channels * 2**stage)
            width = channels * 2**stage
    layers["head"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, num_classes))
    return layers


class NasBench101Network(nn.Sequential):
    """Stem, stages of equal cells with a max pool between two stages, head.

    The arguments are those of `NasBench101Cell` and `nasbench101_skeleton`. The defaults are the benchmark's network:
    stages of 3 cells with 128, 256 and 512 channels.

    >>> chain = np.eye(3, k=1, dtype=bool)
    >>> network = NasBench101Network(chain, ["input", "maxpool3x3", "output"], num_classes=10)
    >>> sum(parameter.numel() for parameter in network.parameters())
    882570
    """

    def __init__(
        self, matrix: NDArray[np.bool_], operations: Sequence[str], num_classes: int, **skeleton: int
    ) -> None:
        make_cell = partial(NasBench101Cell, matrix, operations)
        super().__init__(nasbench101_skeleton(make_cell, num_classes, **skeleton))
