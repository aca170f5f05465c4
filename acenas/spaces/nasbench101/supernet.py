"""The super-net of NAS-Bench-101: the benchmark's network with every operation on each of five vertices."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import override

from acenas.spaces.nasbench101.cells import MAX_VERTICES
from acenas.spaces.nasbench101.grammar import canonical_cell
from acenas.spaces.nasbench101.network import KERNELS, cell_output, nasbench101_skeleton, vertex_channels
from acenas.spaces.sliced import SlicedConvBNReLU
from acenas.spaces.supernet import Memo, SupernetNetwork, without_running_averages

_OUTPUT = MAX_VERTICES - 1  # place of the output, however many vertices a cell has


class SharedVertexCell(nn.Module):
    """A cell with every operation at each of its five inner places, all as wide as the output.

    Vertex v of a path is at place v and uses the first channels of it. Each place, and the output, has a projection of
    its own.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.projections = nn.ModuleDict(
            {str(place): SlicedConvBNReLU(in_channels, out_channels, 1) for place in range(1, _OUTPUT + 1)}
        )
        self.operations = nn.ModuleDict(
            {
                str(place): nn.ModuleDict(
                    {op: SlicedConvBNReLU(out_channels, out_channels, size) for op, size in KERNELS.items()}
                )
                for place in range(1, _OUTPUT)
            }
        )

    def forward(self, x: Tensor, matrix: NDArray[np.bool_], operations: Sequence[str]) -> Tensor:
        """`[B, in_channels, H, W]` to `[B, out_channels, H, W]`, by the cell ``[V, V]`` with V `operations`."""
        channels = vertex_channels(matrix, self.in_channels, self.out_channels)
        inputs = [np.flatnonzero(column).tolist() for column in matrix.T]

        def project(target: int, value: Tensor) -> Tensor:
            return cast(Tensor, self._projection(target, len(inputs))(value, channels[target]))

        def operate(target: int, value: Tensor) -> Tensor:
            if operations[target] not in KERNELS:
                return F.max_pool2d(value, 3, stride=1, padding=1)
            return cast(Tensor, self._operation(target, operations)(value, channels[target]))

        return cell_output(x, inputs, channels, project, operate)

    def path(self, matrix: NDArray[np.bool_], operations: Sequence[str]) -> list[nn.Module]:
        """The modules of the cell ``[V, V]`` with V `operations`."""
        size = len(matrix)
        projections = [self._projection(target, size) for target in np.flatnonzero(matrix[0]).tolist()]
        inner = (vertex for vertex in range(1, size - 1) if operations[vertex] in KERNELS)
        return projections + [self._operation(vertex, operations) for vertex in inner]

    def _projection(self, target: int, size: int) -> nn.Module:
        return self.projections[str(_OUTPUT if target == size - 1 else target)]

    def _operation(self, vertex: int, operations: Sequence[str]) -> nn.Module:
        return cast(nn.ModuleDict, self.operations[str(vertex)])[operations[vertex]]


class NasBench101Supernet(SupernetNetwork):
    """Stem, stages of shared cells with a max pool between two stages, head (AceNAS, arXiv 2108.03001).

    A path equals the stand-alone network of its cell's canonical form, whose kernels are the first channels of the
    shared ones. The arguments are those of `nasbench101_skeleton`.
    """

    def __init__(self, num_classes: int, **skeleton: int) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(nasbench101_skeleton(SharedVertexCell, num_classes, **skeleton))
        without_running_averages(self)

    @override
    def forward(self, images: Tensor, arch: str, memo: Memo | None = None) -> Tensor:
        x, cell = images, canonical_cell(arch)
        for layer in self.layers.values():
            x = layer(x, *cell) if isinstance(layer, SharedVertexCell) else layer(x)
        return x

    def active_parameters(self, arch: str) -> list[nn.Parameter]:
        """Returns whole kernels, of which a path may use the first channels only."""
        cell = canonical_cell(arch)
        parts: list[nn.Module] = []
        for layer in self.layers.values():
            parts += layer.path(*cell) if isinstance(layer, SharedVertexCell) else [layer]
        return [parameter for part in parts for parameter in part.parameters()]
