"""The cost of a network: its parameters, and the operations of one forward pass, counted as it runs.

Tables of this field mean two things by "FLOPs". Neither counts a multiply-add as two:

- Multiply-adds, `Cost.macs_m` here: "flops" in the official files of NAS-Bench-201 and AceNAS (those of NDS do not say
  what theirs are). A table imported from such a file has them as `<dataset>.flops_m`.
- `Cost.flops_m`, which adds normalisation, ReLU and average pools, as Archai's counter does: in some collections of
  NAS-Bench-201 figures. Tables measured by acenas and the labels that it counts have these as `<dataset>.flops_m`.

The first cell of NAS-Bench-201 on CIFAR-10 has 15.65 million by the first and 17.96 million by the second.
"""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.utils import _pair
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import flop_registry

from acenas.errors import UserError


class Cost(NamedTuple):
    """Millions of parameters, and of operations for one image.

    Attributes:
        params_m: trainable parameters.
        macs_m: multiply-adds of convolutions and linear layers. As in NAS-Bench-201, the bias of a linear layer counts
            one for each output.
        flops_m: multiply-adds of convolutions and of linear layers without bias, and 2 per element of batch
            normalisation, 1 per element of ReLU, k * k per output of an average pool, (h + 1) * (w + 1) per output of a
            global pool over h x w.
    """

    params_m: float
    macs_m: float
    flops_m: float


def count_cost(network: nn.Module, inputs: Any) -> Cost:
    """Counts the cost of `network` for one image, or for any other input.

    Convolutions and matrix products count wherever they are (layers, attention, functions), and so do the layers that
    `Cost` names. All else is free. The network runs once, in evaluation mode, and is left as it was.

    Args:
        network: any module.
        inputs: the shape `(channels, height, width)` of an image, or what the network is called with: a tensor, a
            sequence of arguments, a mapping of keyword arguments, or a function without arguments that makes one of
            these.

    Raises:
        UserError: where the network does not take such an input.

    >>> conv = nn.Conv2d(3, 16, 3, padding=1, bias=False)
    >>> count_cost(conv, (3, 32, 32)).macs_m
    0.442368
    >>> count_cost(nn.Linear(16, 4, bias=False), torch.zeros(1, 10, 16)).macs_m
    0.00064
    """
    products, others = _Products(), {"bias": 0, "flops": 0}

    def count(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        match module:
            case nn.Linear() if module.bias is not None:
                others["bias"] += output.numel()
            case nn.BatchNorm2d():
                others["flops"] += 2 * output.numel()
            case nn.ReLU() | nn.ReLU6():
                others["flops"] += output.numel()
            case nn.AvgPool2d():
                others["flops"] += output.numel() * math.prod(_pair(module.kernel_size))
            case nn.AdaptiveAvgPool2d():
                height, width = (i // o for i, o in zip(inputs[0].shape[-2:], output.shape[-2:], strict=True))
                others["flops"] += output.numel() * (height + 1) * (width + 1)

    args, kwargs = arguments(network, inputs)
    handles = [module.register_forward_hook(count) for module in network.modules()]
    try:
        with evaluation_mode(network), torch.no_grad(), plain_operations(network), products:
            network(*args, **kwargs)
    except (RuntimeError, TypeError, ValueError) as error:
        told = f"images of {' x '.join(map(str, inputs))}" if _is_shape(inputs) else "the example input"
        raise UserError(f"the networks of this space do not read {told}: {error}") from error
    finally:
        for handle in handles:
            handle.remove()
    parameters = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    macs = products.flops // 2
    return Cost(parameters / 1e6, (macs + others["bias"]) / 1e6, (macs + others["flops"]) / 1e6)


class _Products(TorchDispatchMode):  # type: ignore[no-untyped-call]  # of PyTorch's own base
    """Sums up the floating point operations of convolutions and matrix products, by PyTorch's own formulas."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func._overloadpacket):
            self.flops += formula(*args, **(kwargs or {}), out_val=output)
        return output


@contextmanager
def plain_operations(network: nn.Module) -> Iterator[None]:
    """Runs attention and recurrent layers as matrix products, which can be counted, and not as one fused operation."""
    fast = torch.backends.mha.get_fastpath_enabled()
    recurrent = any(isinstance(module, nn.RNNBase) for module in network.modules())
    unfused = torch.backends.mkldnn.flags(enabled=False) if recurrent else nullcontext()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings(), sdpa_kernel(SDPBackend.MATH):
            warnings.filterwarnings("ignore", "TF32 acceleration on top of oneDNN")  # the flags say so
            with unfused:
                yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def arguments(network: nn.Module, inputs: Any) -> tuple[list[Any], dict[str, Any]]:
    """Returns the arguments and keyword arguments of `inputs` of `count_cost`, on the device of `network`."""
    like = next(network.parameters(), torch.zeros(0))
    if callable(inputs):
        inputs = inputs()
    if _is_shape(inputs):
        inputs = torch.zeros(1, *inputs, device=like.device, dtype=like.dtype)
    kwargs = dict(inputs) if isinstance(inputs, Mapping) else {}
    args = [] if kwargs else [inputs] if isinstance(inputs, Tensor) else list(inputs)
    return tree_map_only(Tensor, lambda tensor: tensor.to(like.device), (args, kwargs))  # type: ignore[no-any-return]


def _is_shape(inputs: Any) -> bool:
    return isinstance(inputs, Sequence) and all(isinstance(side, int) for side in inputs)


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Sets evaluation mode for the block, then every module to the mode that it was in."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
