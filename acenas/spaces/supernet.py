"""Super-nets, their batch normalisation, and results that paths share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from types import TracebackType

from torch import Tensor, nn


class Memo:
    """Keeps the last result of each slot, for paths that share their first layers and their images.

    For inference only: a result is reused where the inputs are the same tensor objects, even if weights have changed.

    >>> import torch
    >>> memo, x = Memo(), torch.ones(1)
    >>> memo("negative", torch.neg, x) is memo("negative", torch.neg, x)
    True
    >>> memo("negative", torch.neg, torch.zeros(1))
    tensor([-0.])
    """

    def __init__(self) -> None:
        self._slots: dict[Hashable, tuple[tuple[Tensor, ...], Tensor]] = {}

    def __call__(self, slot: Hashable, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """Returns `function(*inputs)`; computes it unless the last call of this slot had the same tensors."""
        known, result = self._slots.get(slot, ((), None))
        if result is None or list(map(id, known)) != list(map(id, inputs)):
            result = function(*inputs)
            self._slots[slot] = (inputs, result)
        return result


class SupernetNetwork(nn.Module, ABC):
    """A network that computes any architecture of its space with one set of weights.

    Batch normalisation keeps no running averages, which would mix paths. It uses the statistics of the batch, in
    evaluation too, or those that `PathStatistics` measured for the path.
    """

    @abstractmethod
    def forward(self, images: Tensor, arch: str, memo: Memo | None = None) -> Tensor:
        """Returns the logits `[B, K]` of architecture `arch`.

        Args:
            images: `[B, C, H, W]`, float.
            arch: an architecture of the space.
            memo: of `memo()`, for these images, to share results between architectures; for inference only.
        """

    @abstractmethod
    def active_parameters(self, arch: str) -> list[nn.Parameter]:
        """Returns the parameters that get a gradient from a path through `arch`."""

    def memo(self) -> Memo | None:
        """Returns a memo for `forward` on one batch of images; None where paths share too little."""
        return None


def without_running_averages(network: nn.Module) -> None:
    """Makes batch normalisation use the statistics of the batch, in evaluation too."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.track_running_stats = False
            layer.running_mean = layer.running_var = layer.num_batches_tracked = None


class PathStatistics:
    """Batch normalisation with the statistics of one path, measured on other images than the evaluated ones.

    The logits of an image then do not depend on the other images of its batch.

    Args:
        network: without running averages; within the context it has those of the path measured last.

    Example::

        with PathStatistics(network) as statistics:
            statistics.measure(arch, batches)
            logits = network(images, arch)
    """

    def __init__(self, network: SupernetNetwork) -> None:
        self.network = network
        self._layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]

    def __enter__(self) -> PathStatistics:
        for layer in self._layers:
            layer.track_running_stats = True
            layer.running_mean = layer.weight.new_zeros(layer.num_features)
            layer.running_var = layer.weight.new_ones(layer.num_features)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        without_running_averages(self.network)
        for layer in self._layers:
            layer.momentum = 0.1

    def measure(self, arch: str, batches: Sequence[Tensor], memos: Sequence[Memo | None]) -> None:
        """Sets the mean and variance of each layer's input on the path `arch`, averaged over `batches`.

        Args:
            arch: the path.
            batches: k batches of images `[B, C, H, W]`, the same for all paths.
            memos: one for each batch, or None. Paths must come in the same order as for the memo of the evaluated
                images: first layers that both take from their memos are not run again and keep their statistics.
        """
        for layer in self._layers:
            layer.training = True
        for number, (images, memo) in enumerate(zip(batches, memos, strict=True), start=1):
            for layer in self._layers:
                layer.momentum = 1 / number
            self.network(images, arch, memo)
        for layer in self._layers:
            layer.training = False
