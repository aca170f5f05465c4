"""The network of NAS-Bench-201 (Dong and Yang, ICLR 2020, arXiv 2001.00326, figure 1)."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from typing_extensions import override

from acenas.spaces.nasbench201.cells import EDGES, OPERATIONS, OUTPUT
from acenas.spaces.supernet import Memo

# --- operations: each keeps the shape of its input `[B, C, H, W]` ---


class ReLUConvBN(nn.Sequential):
    """ReLU, convolution without bias and with an odd kernel, batch normalisation."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False),
            nn.BatchNorm2d(out_channels),
        )


class Zero(nn.Module):
    """The operation `none`: zeros in the shape of its input, without a gradient."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns zeros like `x`."""
        return torch.zeros_like(x)


def nasbench201_operation(name: str, channels: int) -> nn.Module:
    """Returns the operation called `name` (arXiv 2001.00326, section 2.1). Raises `ValueError` for an unknown one."""
    match name:
        case "none":
            return Zero()
        case "skip_connect":
            return nn.Identity()
        case "nor_conv_1x1":
            return ReLUConvBN(channels, channels, 1)
        case "nor_conv_3x3":
            return ReLUConvBN(channels, channels, 3)
        case "avg_pool_3x3":  # averages ignore the padding
            return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    raise ValueError(f"unknown operation {name!r}; NAS-Bench-201 has {', '.join(OPERATIONS)}")


# --- cells ---


def cell_output(x: Tensor, edges: Sequence[nn.Module | None], memo: Memo | None = None) -> Tensor:
    """Returns node 3 of a cell, `[B, C, H, W]`: node 0 is `x`, each further node is the sum of its incoming edges.

    `edges` holds the operation of each of `EDGES`: None for `none`, whose zeros need not be added.
    """
    nodes = [x]
    for target in range(1, OUTPUT + 1):
        incoming = []
        for (source, end), edge in zip(EDGES, edges, strict=True):
            if end == target and edge is not None:
                node = nodes[source]
                incoming.append(edge(node) if memo is None else memo(edge, edge, node))
        if not incoming:
            nodes.append(torch.zeros_like(x))
        elif memo is None or target == OUTPUT or len(incoming) == 1:  # the output differs from cell to cell
            nodes.append(_add(*incoming))
        else:
            nodes.append(memo(target, _add, *incoming))
    return nodes[OUTPUT]


def _add(first: Tensor, *others: Tensor) -> Tensor:
    return sum(others, start=first)


class NasBench201Cell(nn.Module):
    """Four nodes, see `cell_output`, and six operations, those of `EDGES`, which keep the number of channels.

    Raises:
        ValueError: where there are not six operations, or one is unknown.
    """

    def __init__(self, operations: Sequence[str], channels: int) -> None:
        super().__init__()
        if len(operations) != len(EDGES):
            raise ValueError(f"a cell has {len(EDGES)} operations, not {len(operations)}: {list(operations)}")
        self.operations = tuple(operations)
        self.edges = nn.ModuleDict(
            {
                f"{source}{target}": nasbench201_operation(name, channels)
                for (source, target), name in zip(EDGES, operations, strict=True)
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` to `[B, C, H, W]`."""
        return cell_output(x, [None if isinstance(edge, Zero) else edge for edge in self.edges.values()])

    @override
    def extra_repr(self) -> str:
        return ", ".join(f"{s}{t}={name}" for (s, t), name in zip(EDGES, self.operations, strict=True))


# --- the network ---


class ReductionBlock(nn.Module):
    """The residual block between two stages: halves height and width.

    Two layers, the first with stride 2, plus a shortcut: a 2 x 2 average pool and a 1 x 1 convolution without
    normalisation.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv_a = ReLUConvBN(in_channels, out_channels, 3, stride=2)
        self.conv_b = ReLUConvBN(out_channels, out_channels, 3)
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, stride=2), nn.Conv2d(in_channels, out_channels, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """`[B, in_channels, H, W]` to `[B, out_channels, H / 2, W / 2]`."""
        out: Tensor = self.shortcut(x) + self.conv_b(self.conv_a(x))
        return out


def nasbench201_skeleton(
    make_cell: Callable[[int], nn.Module],
    num_classes: int,
    *,
    in_channels: int = 3,
    channels: int = 16,
    cells_per_stage: int = 5,
    stages: int = 3,
) -> OrderedDict[str, nn.Module]:
    """Returns the layers of the network by name: stem, stages of cells with a reduction block between two, head.

    Args:
        make_cell: makes a cell, given its channels.
        num_classes: of the head.
        in_channels: of the images.
        channels: of the first stage; each further stage doubles them.
        cells_per_stage: of each of `stages`.
        stages: at least 1.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["stem"] = nn.Sequential(
        nn.Conv2d(in_channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
    )
    width = channels
    for stage in range(stages):
        if stage:
            layers[f"reduction{stage}"] = ReductionBlock(width, 2 * width)
            width *= 2
        for cell in range(cells_per_stage):
            layers[f"stage{stage + 1}_cell{cell + 1}"] = make_cell(width)
    layers["head"] = nn.Sequential(
        nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, num_classes)
    )
    return layers


class NasBench201Network(nn.Sequential):
    """Stem, stages of equal cells with a reduction block between two stages, head.

    The arguments are those of `NasBench201Cell` and `nasbench201_skeleton`. The defaults are the benchmark's network:
    stages of 5 cells with 16, 32 and 64 channels.

    >>> network = NasBench201Network(["nor_conv_3x3"] * 6, num_classes=10)
    >>> sum(parameter.numel() for parameter in network.parameters())
    1531546
    """

    def __init__(self, operations: Sequence[str], num_classes: int, **skeleton: int) -> None:
        super().__init__(nasbench201_skeleton(partial(NasBench201Cell, operations), num_classes, **skeleton))
