"""What a network costs: parameters, and the operations of one forward pass, counted as it runs.

"FLOPs" has two meanings in this field's tables, and neither counts a multiply-add as two:

- Multiply-adds, `Cost.macs_m` here, are what the official files of NAS-Bench-201 call flops, and so do those of NDS (by
  the code of its authors) and of AceNAS. A table imported from such a file holds them as `<dataset>.flops_m`.
- `Cost.flops_m` adds normalisation, ReLU and average pools, as the counter of Archai does, which some collections of
  NAS-Bench-201 figures follow. Tables measured by acenas and the labels that it counts hold these as
  `<dataset>.flops_m`.

The first cell of NAS-Bench-201 on CIFAR-10 has 15.65 million by the first and 17.96 million by the second.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Cost(NamedTuple):
    """Millions of parameters and of operations for one image.

    Attributes:
        params_m: trainable parameters.
        macs_m: multiply-adds of convolutions and linear layers; a linear layer's bias counts one for each output, as
            in NAS-Bench-201.
        flops_m: multiply-adds of convolutions and of linear layers without bias, each counted as one, and 2 per
            element of batch normalisation, 1 per element of ReLU, k * k per output of an average pool, and
            (h + 1) * (w + 1) per output of a global pool over h x w.
    """

    params_m: float
    macs_m: float
    flops_m: float


def count_cost(network: nn.Module, input_shape: Sequence[int]) -> Cost:
    """Counts the cost of `network` for one image of `input_shape` `(channels, height, width)`.

    Counted are convolutions, linear layers, batch normalisation, ReLU and average pools; sums, skips and other
    layers are free. The network runs once, in evaluation mode, and is left as it was.

    >>> conv = nn.Conv2d(3, 16, 3, padding=1, bias=False)
    >>> count_cost(conv, (3, 32, 32)).macs_m
    0.442368
    """
    macs, flops = 0, 0

    def count(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal macs, flops
        match module:
            case nn.Conv2d():
                products = output.numel() * module.weight[0].numel()
                macs += products
                flops += products
            case nn.Linear():
                products = output.numel() * module.in_features
                macs += products + (output.numel() if module.bias is not None else 0)
                flops += products
            case nn.BatchNorm2d():
                flops += 2 * output.numel()
            case nn.ReLU() | nn.ReLU6():
                flops += output.numel()
            case nn.AvgPool2d():
                flops += output.numel() * _area(module.kernel_size)
            case nn.AdaptiveAvgPool2d():
                height, width = (i // o for i, o in zip(inputs[0].shape[-2:], output.shape[-2:], strict=True))
                flops += output.numel() * (height + 1) * (width + 1)

    handles = [module.register_forward_hook(count) for module in network.modules()]
    try:
        with _evaluation_mode(network), torch.no_grad():
            network(_zeros_for(network, input_shape))
    finally:
        for handle in handles:
            handle.remove()
    parameters = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    return Cost(parameters / 1e6, macs / 1e6, flops / 1e6)


def _area(kernel_size: int | tuple[int, int]) -> int:
    return kernel_size**2 if isinstance(kernel_size, int) else kernel_size[0] * kernel_size[1]


def _zeros_for(network: nn.Module, input_shape: Sequence[int]) -> Tensor:
    like = next(network.parameters(), torch.zeros(0))
    return torch.zeros(1, *input_shape, device=like.device, dtype=like.dtype)


@contextmanager
def _evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Evaluation mode for the block, then every module in the mode that it was in."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
