"""The super-net of the mobile space: every operation at every block, each with weights of its own."""

from collections.abc import Callable, Iterator, Sequence
from typing import cast

from torch import Tensor, nn
from typing_extensions import override

from acenas.spaces.mobilenet.blocks import Operation
from acenas.spaces.mobilenet.network import InvertedResidual, Skeleton, block_name
from acenas.spaces.supernet import Memo, SupernetNetwork, without_running_averages


class MobileNetSupernet(SupernetNetwork):
    """Stem, first block, all operations at every block, head: a path takes one operation of a block, or skips it.

    A path equals the stand-alone network of its architecture. The operations of a block share no weights, as in the
    super-net of AceNAS (arXiv 2108.03001). Paths are not made canonical: skipping block 2 of a stage or block 3 uses
    different weights.

    Args:
        blocks_of: returns the operation of each block of an architecture by stage, None for a skip.
        operations: of every block.
        num_classes: of the head.
        skeleton: the fixed parts.
    """

    def __init__(
        self,
        blocks_of: Callable[[str], Sequence[Sequence[Operation | None]]],
        operations: Sequence[Operation],
        num_classes: int,
        skeleton: Skeleton,
    ) -> None:
        super().__init__()
        self._blocks_of = blocks_of

        def choice(stage: int, block: int) -> nn.ModuleDict:
            place = skeleton.place(stage, block)
            return nn.ModuleDict({str(op): InvertedResidual(op, place, skeleton.norm) for op in operations})

        depths = [stage.blocks for stage in skeleton.stages]
        self.layers = nn.ModuleDict(skeleton.layers(choice, depths, num_classes))
        without_running_averages(self)

    @override
    def forward(self, images: Tensor, arch: str, memo: Memo | None = None) -> Tensor:
        x = images
        for layer in self._path(arch):
            x = layer(x)
        return x

    @override
    def active_parameters(self, arch: str) -> list[nn.Parameter]:
        return [parameter for layer in self._path(arch) for parameter in layer.parameters()]

    def _path(self, arch: str) -> Iterator[nn.Module]:
        """Yields the layers of `arch` in order."""
        yield self.layers["stem"]
        yield self.layers["first"]
        for stage, operations in enumerate(self._blocks_of(arch)):
            for block, operation in enumerate(operations):
                if operation is not None:
                    yield cast(nn.ModuleDict, self.layers[block_name(stage, block)])[str(operation)]
        yield self.layers["head"]
