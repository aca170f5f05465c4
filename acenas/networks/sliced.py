"""Layers of full width of which a path takes the first channels: how super-nets share kernels between widths."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class SlicedConv2d(nn.Conv2d):
    """A convolution whose first kernels, and of these the first inputs, are used; `groups` must be 1."""

    def forward(self, x: Tensor, out_channels: int | None = None) -> Tensor:
        """`[B, c, H, W]` to `[B, out_channels, H', W']`, both at most as wide as the layer.

        `out_channels` None: all.
        """
        bias = None if self.bias is None else self.bias[:out_channels]
        weight = self.weight[:out_channels, : x.shape[1]]
        return F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation)


class SlicedBatchNorm2d(nn.BatchNorm2d):
    """A batch normalisation for as many first channels as its input has, in everything else like its base."""

    def forward(self, x: Tensor) -> Tensor:
        """`[B, c, H, W]` to the same, c at most as wide as the layer."""
        width = x.shape[1]
        mean = None if self.running_mean is None else self.running_mean[:width]
        variance = None if self.running_var is None else self.running_var[:width]
        of_batch = self.training or mean is None
        momentum = 0.0 if self.momentum is None else self.momentum
        return F.batch_norm(
            x, mean, variance, self.weight[:width], self.bias[:width], of_batch, momentum, self.eps
        )


class SlicedConvBNReLU(nn.Module):
    """Convolution without bias, batch normalisation, ReLU, of which a path takes the first channels.

    Args:
        in_channels: most channels of the input.
        out_channels: most channels of the output.
        kernel_size: odd; height and width stay.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = SlicedConv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = SlicedBatchNorm2d(out_channels)

    def forward(self, x: Tensor, out_channels: int) -> Tensor:
        """`[B, c, H, W]` to `[B, out_channels, H, W]`."""
        return F.relu(self.norm(self.conv(x, out_channels)))
