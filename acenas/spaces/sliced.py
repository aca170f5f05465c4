"""Layers of super-nets whose paths differ in width: a path uses the first channels of full-width kernels."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SlicedConv2d(nn.Conv2d):
    """A convolution whose first kernels, and of these the first inputs, are used; `groups` is 1, or it is depthwise."""

    def forward(
        self, x: Tensor, out_channels: int | None = None, inputs: Sequence[slice] | None = None
    ) -> Tensor:
        """`[B, c, H, W]` to `[B, out_channels, H', W']`, both at most as wide as the layer.

        `out_channels` is None for all; a depthwise convolution has as many as its input. `inputs` are the parts of the
        layer's input channels that `x` concatenates; None for the first ones.
        """
        if self.groups > 1:
            out_channels = x.shape[1]
        bias = None if self.bias is None else self.bias[:out_channels]
        weight = _columns(self.weight[:out_channels], [slice(x.shape[1])] if inputs is None else inputs)
        groups, stride = x.shape[1] if self.groups > 1 else 1, self.stride
        if self.kernel_size == (1, 1) and stride != (1, 1):
            # Slicing first avoids a bug of PyTorch 2.13, which corrupts memory in channels_last on the CPU.
            x, stride = x[:, :, :: stride[0], :: stride[1]], (1, 1)
        return F.conv2d(x, weight, bias, stride, self.padding, self.dilation, groups)


class SlicedLinear(nn.Linear):
    """A linear layer of whose inputs some are used."""

    def forward(self, x: Tensor, inputs: Sequence[slice] | None = None) -> Tensor:
        """`[B, c]` to `[B, out_features]`; `inputs` as in `SlicedConv2d.forward`."""
        parts = [slice(x.shape[1])] if inputs is None else inputs
        return F.linear(x, _columns(self.weight, parts), self.bias)


def _columns(weight: Tensor, parts: Sequence[slice]) -> Tensor:
    """The parts of the second dimension, joined; a view where there is one."""
    return weight[:, parts[0]] if len(parts) == 1 else torch.cat([weight[:, part] for part in parts], dim=1)


class SlicedSequential(nn.Sequential):
    """Layers that keep the number of channels of their input."""

    def forward(self, x: Tensor) -> Tensor:
        """`[B, c, H, W]` to `[B, c, H', W']`."""
        for layer in self:
            x = layer(x, x.shape[1]) if isinstance(layer, SlicedConv2d) else layer(x)
        return x


class SlicedBatchNorm2d(nn.BatchNorm2d):
    """A batch normalisation of the first channels, as many as its input has."""

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
    """Convolution without bias and with an odd kernel, batch normalisation, ReLU; a path uses the first channels."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = SlicedConv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = SlicedBatchNorm2d(out_channels)

    def forward(self, x: Tensor, out_channels: int) -> Tensor:
        """`[B, c, H, W]` to `[B, out_channels, H, W]`."""
        return F.relu(self.norm(self.conv(x, out_channels)))
