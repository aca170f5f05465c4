"""Zero-cost scores of untrained networks: weak labels that cost one batch. A higher score promises a better network.

Each function takes any network with initial weights and its input. It does not change the network, except for the
statistics of batch normalisation in training mode, and raises `UserError` where the score is not defined.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from acenas.errors import UserError
from acenas.seeds import torch_generator
from acenas.spaces.cost import arguments, evaluation_mode, plain_operations

ROWS = 31
"""Inputs of a batch of noise; a prime, so that few other sides of activations have it."""

_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_aten = torch.ops.aten
_RELUS = {_aten.relu, _aten.relu_, _aten.leaky_relu, _aten.leaky_relu_, _aten._prelu_kernel}
_CLIPPED = {_aten.hardtanh, _aten.hardtanh_}


class Batch(NamedTuple):
    """The arguments of a network: `rows` inputs (1 where unknown); and their classes `[rows]`, long, if any."""

    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    rows: int
    labels: Tensor | None = None


def noise(network: nn.Module, inputs: Any, seed: int = 0) -> Batch:
    """Returns a batch of noise in the form of an example input of `network`.

    Floating point numbers are standard normal. Integers are uniform, below the size of the embedding that they index,
    else between the least and the greatest of the example. Where the network does not take several inputs at once, or
    the example has many different ones, the batch is the example.

    Args:
        network: any module.
        inputs: an image's shape or an example input, as in `acenas.spaces.cost.count_cost`. Several tensors have the
            batch in the same dimension, the first or the second.
        seed: of the noise.
    """
    args, kwargs = arguments(network, inputs)
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    dim = next((d for d in (0, 1) if _sizes(tensors, d) == {1}), 0)
    sizes = _sizes(tensors, dim)
    if len(sizes) != 1:
        return Batch(args, kwargs, 1)
    if (rows := sizes.pop()) >= 8 and any(bool((each != each[:1]).any()) for each in tensors):
        return Batch(args, kwargs, rows)
    with _Embeddings(tensors) as embeddings, one_pass(network):
        network(*args, **kwargs)
    generator = torch_generator(seed, "zero-cost")

    def drawn(like: Any) -> Any:
        if not isinstance(like, Tensor) or like.numel() == 0:
            return like
        shape = [ROWS if d == dim else side for d, side in enumerate(like.shape)]
        if like.is_floating_point():
            return torch.randn(shape, generator=generator).to(like)
        if like.dtype == torch.bool or like.is_complex():
            return like.narrow(dim, 0, 1).expand(shape).clone()
        least, end = int(like.min()), int(like.max()) + 1
        if entries := embeddings.entries.get(like.untyped_storage().data_ptr()):
            least, end = 0, entries
        return torch.randint(least, end, shape, generator=generator).to(like)

    drawn_args, drawn_kwargs = tree_map(drawn, (args, kwargs))
    batch = Batch(drawn_args, drawn_kwargs, ROWS)
    try:
        with one_pass(network):
            network(*batch.args, **batch.kwargs)
    except Exception:  # whatever the network raises where it reads one input alone
        return Batch(args, kwargs, 1)
    return batch


def _sizes(tensors: Sequence[Tensor], dim: int) -> set[int]:
    """Returns the sizes of `tensors` in dimension `dim`; 0 for those without such a dimension."""
    return {tensor.shape[dim] if tensor.dim() > dim else 0 for tensor in tensors}


class _Embeddings(TorchDispatchMode):  # type: ignore[no-untyped-call]  # of PyTorch's own base
    """Records the number of entries of the embedding that each of `tensors` indexes, by the address of its data."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known = {tensor.untyped_storage().data_ptr() for tensor in tensors}
        self.entries: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._overloadpacket == _aten.embedding:
            place, entries = args[1].untyped_storage().data_ptr(), args[0].shape[0]
            if place in self._known:
                self.entries[place] = min(entries, self.entries.get(place, entries))
        return func(*args, **(kwargs or {}))


@contextmanager
def one_pass(network: nn.Module) -> Iterator[None]:
    """Sets evaluation mode without gradients for the block, which leaves torch's random numbers as they were."""
    with (
        torch.random.fork_rng(devices=[]),
        torch.no_grad(),
        evaluation_mode(network),
        plain_operations(network),
    ):
        yield


def prepared(network: nn.Module, inputs: Any) -> nn.Module:
    """Prepares `network` for the scores, and returns it; `inputs` as in `noise`.

    It is in evaluation mode, without dropout, but batch normalisation uses the batch. Layers that take their size from
    the first input (`nn.LazyLinear`) are initialised.
    """
    if any(map(is_lazy, network.parameters())):
        args, kwargs = arguments(network, inputs)
        with evaluation_mode(network), torch.no_grad():
            network(*args, **kwargs)
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()
    return network


def synflow(network: nn.Module, inputs: Any) -> float:
    """Synaptic flow (Tanaka et al., arXiv 2006.05467, equation 4), as log(1 + sum).

    The sum over all weights of |weight x d R / d weight|, where R is the sum of the outputs of the network with the
    absolute values of its weights, without normalisation and dropout, for an input of ones (integers stay). It needs no
    data. It spans many orders of magnitude, hence the logarithm.

    Args:
        network: with initial weights.
        inputs: an image's shape or an example input, as in `acenas.spaces.cost.count_cost`.

    Raises:
        UserError: where no weight has a gradient.
    """
    args, kwargs = arguments(network, inputs)
    network = deepcopy(network).double().eval()
    for name, module in list(network.named_modules(remove_duplicate=False)):
        if isinstance(module, _NORMS):
            network.set_submodule(name, nn.Identity())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()

    def ones(value: Any) -> Any:
        is_float = isinstance(value, Tensor) and value.is_floating_point()
        return torch.ones_like(value, dtype=torch.float64) if is_float else value

    args, kwargs = tree_map(ones, (args, kwargs))
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # for what the network makes itself, such as a first state
    try:
        with plain_operations(network):
            total = sum((output.sum() for output in _outputs(network(*args, **kwargs))), torch.zeros(()))
            torch.autograd.backward(total)
    finally:
        torch.set_default_dtype(before)
    flows = [(p * p.grad).abs().sum() for p in network.parameters() if p.grad is not None]
    if not flows:
        raise UserError("synflow: no weight of the network has a gradient")
    return float(torch.log1p(torch.stack(flows).sum()).detach())


def naswot(network: nn.Module, inputs: Tensor | Batch) -> float:
    """Neural architecture search without training (Mellor et al., arXiv 2006.04647, equation 2).

    The logarithm of the determinant of the kernel of the inputs' binary codes. The code of an input tells which ReLU
    units it activates, and the kernel of two inputs is the number of units on which they agree. 1e-3 is added to the
    diagonal, so that the score is finite where two inputs have the same code. ReLU, leaky and clipped ReLU count, as
    layers and as functions.

    Args:
        network: with initial weights, batch normalisation in training mode, so that it uses the batch.
        inputs: images `[B, C, H, W]`, or a batch of anything.

    Raises:
        UserError: where the network has no ReLU, or reads one input alone.
    """
    batch = inputs if isinstance(inputs, Batch) else Batch([inputs], {}, len(inputs))
    if batch.rows < 2:
        raise UserError("naswot: it compares several inputs, and the network reads only one at once")
    with _Codes(batch.rows) as codes, torch.no_grad(), plain_operations(network):
        network(*batch.args, **batch.kwargs)
    if not codes.units:
        raise UserError("naswot: the network has no ReLU")
    kernel = codes.kernel + 1e-3 * torch.eye(batch.rows, dtype=torch.float64)
    return float(torch.linalg.slogdet(kernel).logabsdet)


class _Codes(TorchDispatchMode):  # type: ignore[no-untyped-call]  # of PyTorch's own base
    """Sums up the kernel `[rows, rows]` of the binary codes of what ReLUs are given."""

    def __init__(self, rows: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kernel = torch.zeros(rows, rows, dtype=torch.float64)
        self.units = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        packet = func._overloadpacket
        if packet in _RELUS or (packet in _CLIPPED and args[1:2] == (0.0,)):
            self._add(args[0])
        return func(*args, **(kwargs or {}))

    def _add(self, values: Tensor) -> None:
        rows = len(self.kernel)
        others = [dim for dim, side in enumerate(values.shape) if side == rows]
        if values.shape[0] != rows and len(others) == 1:  # the batch is not the first dimension
            values = values.movedim(others[0], 0)
        if values.shape[0] % rows:
            return  # it has no batch
        active = (values > 0).reshape(rows, -1).double().cpu()
        self.units += active.shape[1]
        self.kernel += active @ active.T + (1 - active) @ (1 - active).T


def grad_norm(network: nn.Module, inputs: Tensor | Batch, labels: Tensor | None = None) -> float:
    """Norm of the gradient at the first step (Abdelfattah et al., arXiv 2101.08134, section 3.1), as log(1 + sum).

    The sum over all layers of the Euclidean norm of the gradient of the loss on one batch: the cross-entropy where
    there are labels, else the mean squared difference of all outputs from standard normal noise.

    Args:
        network: with initial weights, batch normalisation in training mode.
        inputs: images `[B, C, H, W]`, or a batch of anything.
        labels: `[B]`, long, of images; those of a batch are in it.

    Raises:
        UserError: where the outputs do not depend on a weight of two or more dimensions.
    """
    batch = inputs if isinstance(inputs, Batch) else Batch([inputs], {}, len(inputs), labels)
    parameters = [p for p in network.parameters() if p.dim() > 1 and p.requires_grad]  # weights of layers
    with plain_operations(network):
        outputs = network(*batch.args, **batch.kwargs)
        if batch.labels is not None:
            loss = F.cross_entropy(outputs, batch.labels)
        else:
            generator = torch_generator(0, "zero-cost", "targets")
            each = [(o - torch.randn(o.shape, generator=generator).to(o)).square() for o in _outputs(outputs)]
            loss = torch.cat([one.flatten() for one in each]).mean() if each else torch.zeros(())
        has_gradient = loss.requires_grad and parameters
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True) if has_gradient else ()
    norms = [gradient.norm() for gradient in gradients if gradient is not None]
    if not norms:
        raise UserError("grad_norm: no weight of a layer has a gradient")
    return float(torch.log1p(torch.stack(norms).sum()))


def _outputs(outputs: Any) -> list[Tensor]:
    """Returns the floating point tensors of a network's output, which may be a mapping or a data class."""
    if not isinstance(outputs, Tensor | Mapping | tuple | list) and hasattr(outputs, "__dict__"):
        outputs = vars(outputs)
    leaves = tree_leaves(dict(outputs) if isinstance(outputs, Mapping) else outputs)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point()]
