"""The super-net of NAS-Bench-201: the benchmark's network with all five operations on every edge."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from torch import Tensor, nn

from acenas.spaces.memo import Memo
from acenas.spaces.nasbench201.network import EDGES, cell_output, nasbench201_skeleton
from acenas.spaces.nasbench201.operations import NASBENCH201_OPERATIONS, nasbench201_operation
from acenas.spaces.supernet import SupernetNetwork, without_running_averages


class SharedCell(nn.Module):
    """A cell with every operation on every edge, of which a path takes one each.

    Args:
        channels: of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleDict(
            {
                f"{source}{target}": nn.ModuleDict(
                    {
                        name: nasbench201_operation(name, channels)
                        for name in NASBENCH201_OPERATIONS
                        if name != "none"
                    }
                )
                for source, target in EDGES
            }
        )
        self._choices: list[dict[str, nn.Module]] = [dict(edge.items()) for edge in self.edges.values()]  # type: ignore[operator]

    def forward(self, x: Tensor, operations: Sequence[str], memo: Memo | None = None) -> Tensor:
        """`[B, C, H, W]` to `[B, C, H, W]`, along the six `operations`."""
        return cell_output(x, self.path(operations), memo)

    def path(self, operations: Sequence[str]) -> list[nn.Module | None]:
        """The modules of the six `operations`; None for `none`."""
        return [choices.get(name) for choices, name in zip(self._choices, operations, strict=True)]


class NasBench201Supernet(SupernetNetwork):
    """Stem, stages of shared cells with a reduction block between two stages, head.

    Names and shapes of the weights are those of `NasBench201Network`, with the operation's name after the edge's.
    Edges that lead nowhere are not computed: they have no gradient in the stand-alone network either.

    Args:
        num_classes: logits of the output.
        in_channels: channels of the images.
        channels: of the first stage; each further stage doubles them.
        cells_per_stage: cells in a stage.
        stages: number of stages.

    >>> network = NasBench201Supernet(num_classes=10)
    >>> sum(parameter.numel() for parameter in network.parameters())
    1699546
    """

    def __init__(
        self,
        num_classes: int,
        *,
        in_channels: int = 3,
        channels: int = 16,
        cells_per_stage: int = 5,
        stages: int = 3,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(
            nasbench201_skeleton(
                SharedCell,
                num_classes,
                in_channels=in_channels,
                channels=channels,
                cells_per_stage=cells_per_stage,
                stages=stages,
            )
        )
        without_running_averages(self)

    def forward(self, images: Tensor, arch: str, memo: Memo | None = None) -> Tensor:
        """See `SupernetNetwork.forward`."""
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

    def active_parameters(self, arch: str) -> list[nn.Parameter]:
        """See `SupernetNetwork.active_parameters`."""
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
        """A memo where there is one cell only: of more cells, only the first ever begins alike."""
        cells = sum(isinstance(layer, SharedCell) for layer in self.layers.values())
        return Memo() if cells == 1 else None


@cache
def live_operations(arch: str) -> tuple[str, ...]:
    """The operations of `arch`, in the order of `EDGES`, with `none` on every edge that leads nowhere.

    >>> live_operations("|nor_conv_1x1~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|")
    ('none', 'none', 'none', 'skip_connect', 'none', 'nor_conv_3x3')
    """
    operations = [term.split("~")[0] for node in arch.split("+") for term in node.strip("|").split("|")]
    leads_on = {3}
    for i, (source, target) in reversed(list(enumerate(EDGES))):
        if target not in leads_on:
            operations[i] = "none"
        elif operations[i] != "none":
            leads_on.add(source)
    return tuple(operations)


def is_connected(operations: Sequence[str]) -> bool:
    """Whether a way without `none` leads from the input of a cell to its output."""
    reached = {0}
    for (source, target), name in zip(EDGES, operations, strict=True):
        if source in reached and name != "none":
            reached.add(target)
    return 3 in reached
