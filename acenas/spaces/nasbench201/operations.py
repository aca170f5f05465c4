"""The operations that cells are made of, each keeping the shape of its input `[B, C, H, W]`."""

import torch
from torch import Tensor, nn


class ReLUConvBN(nn.Sequential):
    """ReLU, convolution without bias, batch normalisation: the order of NAS-Bench-201 and DARTS.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: odd; the padding keeps height and width where the stride is 1.
        stride: of the convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False),
            nn.BatchNorm2d(out_channels),
        )


class Zero(nn.Module):
    """The operation `none`: zeros in the shape of its input, through which no gradient flows."""

    def forward(self, x: Tensor) -> Tensor:
        """Zeros like `x`."""
        return torch.zeros_like(x)


NASBENCH201_OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""The operations of NAS-Bench-201, in the official order."""


def nasbench201_operation(name: str, channels: int) -> nn.Module:
    """The operation called `name` for inputs of `channels` channels, as in the benchmark (arXiv 2001.00326, §2.1).

    The average of `avg_pool_3x3` does not count the padding, and no normalisation follows it.

    Raises:
        ValueError: where `name` is not one of `NASBENCH201_OPERATIONS`.
    """
    match name:
        case "none":
            return Zero()
        case "skip_connect":
            return nn.Identity()
        case "nor_conv_1x1":
            return ReLUConvBN(channels, channels, 1)
        case "nor_conv_3x3":
            return ReLUConvBN(channels, channels, 3)
        case "avg_pool_3x3":
            return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    raise ValueError(f"unknown operation {name!r}; NAS-Bench-201 has {', '.join(NASBENCH201_OPERATIONS)}")
