"""Networks whose weights many architectures share, and their batch normalisation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType

from torch import Tensor, nn

from acenas.spaces.memo import Memo


class SupernetNetwork(nn.Module, ABC):
    """A network that computes any architecture of its space with one set of weights.

    Batch normalisation keeps no running averages: those would mix paths. It takes the statistics of the batch, in
    evaluation too, or those that `PathStatistics` measured for the very path.
    """

    @abstractmethod
    def forward(self, images: Tensor, arch: str, memo: Memo | None = None) -> Tensor:
        """The logits of architecture `arch`.

        Args:
            images: `[B, C, H, W]`, float.
            arch: an architecture of the space.
            memo: of these very images, made by `memo`; architectures that begin alike then share that beginning.
                For inference only.

        Returns:
            `[B, K]`.
        """

    @abstractmethod
    def active_parameters(self, arch: str) -> list[nn.Parameter]:
        """The parameters that get a gradient from a path through `arch`."""

    def memo(self) -> Memo | None:
        """What `forward` can use for one batch of images; None where sharing would not pay."""
        return None


def without_running_averages(network: nn.Module) -> None:
    """Batch normalisation takes the statistics of the batch from now on, in evaluation too."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.track_running_stats = False
            layer.running_mean = layer.running_var = layer.num_batches_tracked = None


class PathStatistics:
    """Batch normalisation with the statistics of one path at a time, measured on images that are not evaluated.

    What a path answers to an image then does not depend on the other images of the batch.

    Args:
        network: has no running averages; within the context it has those of the path measured last.

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
        """Mean and variance of each layer's input on the path `arch`: their means over `batches`.

        Args:
            arch: the path.
            batches: k batches of images `[B, C, H, W]`, the same for all paths.
            memos: one for each batch, which must have seen the same paths in the same order as those of the images
                that are evaluated: what they share, its statistics are still there.
        """
        for layer in self._layers:
            layer.training = True
        for number, (images, memo) in enumerate(zip(batches, memos, strict=True), start=1):
            for layer in self._layers:
                layer.momentum = 1 / number
            self.network(images, arch, memo)
        for layer in self._layers:
            layer.training = False
