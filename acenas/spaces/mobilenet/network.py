"""The networks of ProxylessNAS' mobile space (Cai et al., ICLR 2019, arXiv 1812.00332): inverted residual blocks."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, cast

from torch import Tensor, nn

from acenas.errors import UserError
from acenas.spaces.mobilenet.blocks import Operation


class Place(NamedTuple):
    """Channels of the input and the output of a block, and its stride."""

    in_channels: int
    out_channels: int
    stride: int


class Stage(NamedTuple):
    """Blocks of one width: its channels, the largest number of blocks, and the stride of the first one."""

    channels: int
    blocks: int
    stride: int = 1


@dataclass(frozen=True)
class Skeleton:
    """The fixed parts of a network. The defaults are the network of ProxylessNAS for 224 × 224 images.

    Attributes:
        stages: of searched blocks; a list of three numbers is converted to a `Stage`.
        in_channels: of the images.
        stem_channels, stem_stride: of the first convolution.
        first_channels: of the fixed block after it, a depthwise 3 × 3 and a 1 × 1 convolution.
        head_channels: of the 1 × 1 convolution before the global pool.
        norm_momentum, norm_eps: of batch normalisation, see PyTorch.

    Raises:
        UserError: where a number is below 1.
    """

    stages: Sequence[Stage] = (
        Stage(32, 4, 2),
        Stage(40, 4, 2),
        Stage(80, 4, 2),
        Stage(96, 4, 1),
        Stage(192, 4, 2),
        Stage(320, 1, 1),
    )
    in_channels: int = 3
    stem_channels: int = 32
    stem_stride: int = 2
    first_channels: int = 16
    head_channels: int = 1280
    norm_momentum: float = 0.01
    norm_eps: float = 1e-3

    def __post_init__(self) -> None:
        if not self.stages or any(len(stage) != 3 for stage in self.stages):
            raise UserError("space: stages is a list of [channels, blocks, stride], at least one")
        object.__setattr__(self, "stages", tuple(Stage(*stage) for stage in self.stages))
        widths = (self.in_channels, self.stem_channels, self.stem_stride, self.first_channels)
        if min(*widths, self.head_channels, *(number for stage in self.stages for number in stage)) < 1:
            raise UserError("space: channels, blocks and strides are at least 1")

    def place(self, stage: int, block: int) -> Place:
        """Returns channels and stride of block `block` of stage `stage`, both counted from 0."""
        here = self.stages[stage]
        if block:
            return Place(here.channels, here.channels, 1)
        before = self.stages[stage - 1].channels if stage else self.first_channels
        return Place(before, here.channels, here.stride)

    @property
    def norm(self) -> Callable[[int], nn.BatchNorm2d]:
        """Makes a batch normalisation, given its channels."""
        return partial(nn.BatchNorm2d, eps=self.norm_eps, momentum=self.norm_momentum)

    def layers(
        self, make_block: Callable[[int, int], nn.Module], depths: Sequence[int], num_classes: int
    ) -> OrderedDict[str, nn.Module]:
        """Returns the layers of a network by name: stem, first block, `depths` blocks of each stage, head.

        `make_block` makes a block, given its stage and its position in it, both counted from 0.
        """
        first = Place(self.stem_channels, self.first_channels, 1)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["stem"] = nn.Sequential(
            *conv_norm(self.in_channels, self.stem_channels, 3, self.stem_stride, norm=self.norm), nn.ReLU6()
        )
        layers["first"] = InvertedResidual(Operation(3, 1), first, self.norm)
        for stage, depth in enumerate(depths):
            for block in range(depth):
                layers[block_name(stage, block)] = make_block(stage, block)
        width = self.stages[-1].channels
        layers["head"] = nn.Sequential(
            *conv_norm(width, self.head_channels, 1, norm=self.norm),
            nn.ReLU6(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(self.head_channels, num_classes),
        )
        return layers


def block_name(stage: int, block: int) -> str:
    """Returns the name of a block's layer, such as `stage1_block2` for 0 and 1."""
    return f"stage{stage + 1}_block{block + 1}"


def conv_norm(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    groups: int = 1,
    *,
    norm: Callable[[int], nn.BatchNorm2d],
) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """Returns a convolution without bias, padded by half its kernel, and its batch normalisation.

    The weights are initialised for ReLU by fan-out (He et al., arXiv 1502.01852).
    """
    padding = kernel_size // 2
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out")
    return conv, norm(out_channels)


class InvertedResidual(nn.Module):
    """Inverted residual block (MobileNetV2, Sandler et al., arXiv 1801.04381, section 3.3).

    A 1 × 1 convolution to `expansion` times the channels (none where that is 1), a depthwise convolution and a 1 × 1
    convolution to the output, each with batch normalisation, the first two with ReLU6. Where stride is 1 and the
    channels stay, the input is added.
    """

    def __init__(self, operation: Operation, place: Place, norm: Callable[[int], nn.BatchNorm2d]) -> None:
        super().__init__()
        self.residual = place.stride == 1 and place.in_channels == place.out_channels
        hidden = place.in_channels * operation.expansion
        layers: list[nn.Module] = []
        if operation.expansion != 1:
            layers += [*conv_norm(place.in_channels, hidden, 1, norm=norm), nn.ReLU6(inplace=True)]
        layers += [
            *conv_norm(hidden, hidden, operation.kernel_size, place.stride, groups=hidden, norm=norm),
            nn.ReLU6(inplace=True),
            *conv_norm(hidden, place.out_channels, 1, norm=norm),
        ]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, in_channels, H, W]` to `[B, out_channels, H / stride, W / stride]`."""
        out = cast(Tensor, self.layers(x))
        return x + out if self.residual else out


class MobileNetNetwork(nn.Sequential):
    """Stem, fixed first block, stages of inverted residual blocks (at least one each), head.

    >>> network = MobileNetNetwork([[Operation(3, 6)]] * 6, num_classes=1000)
    >>> [name for name, _ in network.named_children()][:4]
    ['stem', 'first', 'stage1_block1', 'stage2_block1']
    """

    def __init__(
        self, stages: Sequence[Sequence[Operation]], num_classes: int, skeleton: Skeleton | None = None
    ) -> None:
        skeleton = skeleton or Skeleton()

        def make(stage: int, block: int) -> nn.Module:
            return InvertedResidual(stages[stage][block], skeleton.place(stage, block), skeleton.norm)

        super().__init__(skeleton.layers(make, [len(blocks) for blocks in stages], num_classes))
