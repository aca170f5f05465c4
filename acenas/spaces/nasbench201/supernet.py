"""The super-net of NAS-Bench-201: the benchmark's network with all five operations on every edge."""

from collections.abc import Iterable, Sequence
from typing import cast

from torch import Tensor, nn
from typing_extensions import override

from acenas.spaces.nasbench201.cells import EDGES, OPERATIONS, is_connected, live_operations
from acenas.spaces.nasbench201.network import cell_output, nasbench201_operation, nasbench201_skeleton
from acenas.spaces.supernet import Memo, SupernetNetwork, without_running_averages


class SharedCell(nn.Module):
    """A cell with every operation on every edge, of which a path takes one each."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleDict(
            {
                f"{source}{target}": nn.ModuleDict(
                    {name: nasbench201_operation(name, channels) for name in OPERATIONS[1:]}  # but for none
                )
                for source, target in EDGES
            }
        )

    def forward(self, x: Tensor, operations: Sequence[str], memo: Memo | None = None) -> Tensor:
        """`[B, C, H, W]` to `[B, C, H, W]`, along the six `operations`."""
        return cell_output(x, self.path(operations), memo)

    def path(self, operations: Sequence[str]) -> list[nn.Module | None]:
        """The modules of the six `operations`; None for `none`."""
        edges = cast(Iterable[nn.ModuleDict], self.edges.values())
        return [None if name == "none" else edge[name] for edge, name in zip(edges, operations, strict=True)]


class NasBench201Supernet(SupernetNetwork):
    """Stem, stages of shared cells with a reduction block between two stages, head.

    Names and shapes of the weights are those of `NasBench201Network`, with the operation's name after the edge's.
    Edges that lead nowhere are not computed: they have no gradient in the stand-alone network either. The arguments are
    those of `nasbench201_skeleton`.

    >>> network = NasBench201Supernet(num_classes=10)
    >>> sum(parameter.numel() for parameter in network.parameters())
    1699546
    """

    def __init__(self, num_classes: int, **skeleton: int) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(nasbench201_skeleton(SharedCell, num_classes, **skeleton))
        without_running_averages(self)

    @override
    def forward(self, images: Tensor, arch: str, memo: Memo | None = None) -> Tensor:
        operations = live_operations(arch)
        x = images
        for name, layer in self.layers.items():
            if isinstance(layer, SharedCell):
                x = layer(x, operations, memo)
            elif name == "stem" and memo is not None:
                x = memo(name, layer, x)
            else:
                x = layer(x)
        return x

    @override
    def active_parameters(self, arch: str) -> list[nn.Parameter]:
        operations = live_operations(arch)
        parts: list[nn.Module] = []
        for layer in self.layers.values():
            if isinstance(layer, SharedCell):
                if not is_connected(operations):
                    parts.clear()  # the cell gives the same whatever comes before it
                parts += [module for module in layer.path(operations) if module is not None]
            else:
                parts.append(layer)
        return [parameter for part in parts for parameter in part.parameters()]

    def memo(self) -> Memo | None:
        """Returns a memo where there is a single cell: of several, only the first has the same input on all paths."""
        cells = sum(isinstance(layer, SharedCell) for layer in self.layers.values())
        return Memo() if cells == 1 else None
