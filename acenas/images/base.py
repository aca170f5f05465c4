"""Image data sets in three parts, each held in memory as bytes, or read from the disk as needed."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acenas.errors import UserError

log = logging.getLogger(__name__)


class ImagePart(Protocol):
    """Images and their classes: `Images` in memory, `ImageFiles` on the disk."""

    @property
    def images(self) -> Tensor:
        """`[N, C, H, W]`, uint8, as stored: not normalised. Raises `UserError` where they are not in memory."""

    @property
    def labels(self) -> Tensor:
        """`[N]`, long."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image of a batch."""

    @property
    def names(self) -> NDArray[np.bytes_] | None:
        """`[N]`, paths of the files, UTF-8; None where the images have no files of their own."""

    @property
    def damaged(self) -> Mapping[str, str]:
        """The files that were found damaged so far, and why."""

    def part(self, indices: Tensor) -> Self:
        """Selects the images of `indices`, `[M]` long."""

    def joined(self, other: Self) -> Self:
        """Appends the images of `other`."""

    def to(self, device: torch.device) -> Self:
        """Copies the images to `device` where they are in memory."""

    def batches(self, indices: Iterable[Tensor], crops: int | None = None) -> Iterator[Images]:
        """Yields a batch `[B, C, H, W]`, uint8, and its labels for each of `indices`, `[B]` long.

        `crops` is the seed of random crops to train on, where images are cropped as they are read; None takes the crops
        that networks are measured on.
        """

    def content(self) -> Iterator[bytes]:
        """Yields the bytes that results depend on, for checksums."""


class Images(NamedTuple):
    """Images in memory and their classes; an `ImagePart`.

    Attributes:
        images: `[N, C, H, W]`, uint8, as they are stored: not normalised.
        labels: `[N]`, long.
    """

    images: Tensor
    labels: Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    @property
    def names(self) -> None:
        """None: images in memory have no files of their own."""

    @property
    def damaged(self) -> dict[str, str]:
        """Always empty."""
        return {}

    def part(self, indices: Tensor) -> Images:
        """Selects the images of `indices`, `[M]` long."""
        return Images(self.images[indices], self.labels[indices])

    def joined(self, other: Images) -> Images:
        """Appends the images of `other`."""
        return Images(torch.cat([self.images, other.images]), torch.cat([self.labels, other.labels]))

    def to(self, device: torch.device) -> Images:
        """Copies the images to `device`."""
        return Images(self.images.to(device), self.labels.to(device))

    def batches(self, indices: Iterable[Tensor], crops: int | None = None) -> Iterator[Images]:
        """Yields a batch for each of `indices`; `crops` is ignored, since all images have one size."""
        return map(self.part, indices)

    def content(self) -> Iterator[bytes]:
        """Yields the bytes of images and labels."""
        for tensor in self:
            yield tensor.numpy().tobytes()


@dataclass(frozen=True, eq=False)
class ImageSplits:
    """Three parts without a common image: networks learn from `train`, a search sees `valid`, a report `test`.

    Attributes:
        train: what weights are fitted to.
        valid: what observed accuracies and weak labels are measured on.
        test: for reports only; nothing that searches, trains or selects may read it.
        num_classes: labels are below this.
        mean: of each channel, in the unit of the bytes.
        std: standard deviation of each channel, in the unit of the bytes.
        classes: their names, where the data set tells them.
        preparation: how an image is prepared before a network is measured on it, in words; empty for nothing.
    """

    train: ImagePart
    valid: ImagePart
    test: ImagePart
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...] = ()
    preparation: str = ""

    def __post_init__(self) -> None:
        if lacking := self.num_classes - len(set(self.train.labels.tolist())):
            log.warning("%d of %d classes have no training image", lacking, self.num_classes)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.train.shape

    def normalise(self, images: Tensor) -> Tensor:
        """Converts bytes `[B, C, H, W]` to float32 with mean 0 and deviation 1 for each channel, on their device."""
        mean, std = _of_channels(self.mean, images.device), _of_channels(self.std, images.device)
        return (images.float() - mean) / std


@lru_cache
def _of_channels(values: tuple[float, ...], device: torch.device) -> Tensor:
    """`[C, 1, 1]`, float32; kept, because bringing it to a GPU makes the host wait for all that runs there."""
    return torch.tensor(values, dtype=torch.float32, device=device)[:, None, None]


class ImageSource(ABC):
    """Where a data set comes from, and how it is divided."""

    name: str
    """The data set's name in tables, provenance and folders."""

    @abstractmethod
    def load(self) -> ImageSplits:
        """Reads the data set. Raises `UserError` for a missing or damaged file."""


def channel_values(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """Returns a `mean` or `std` as floats. Raises `UserError` where there is not one value for each channel."""
    if len(values) != channels:
        raise UserError(
            f"images: mean and std need {channels} values, one for each channel, not {list(values)}"
        )
    return tuple(float(value) for value in values)
