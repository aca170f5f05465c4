"""Image data sets in three parts, held as the bytes they come in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from acenas.errors import UserError


class Images(NamedTuple):
    """Images and their classes.

    Attributes:
        images: `[N, C, H, W]`, uint8, as they are stored: not normalised.
        labels: `[N]`, long.
    """

    images: Tensor
    labels: Tensor


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
    """

    train: Images
    valid: Images
    test: Images
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        _, channels, height, width = self.train.images.shape
        return channels, height, width

    def normalise(self, images: Tensor) -> Tensor:
        """Bytes `[B, C, H, W]` to float32 with mean 0 and deviation 1 for each channel, on their device."""
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
        """Reads the data set.

        Raises:
            UserError: for a missing or damaged file: names it, and says what to do.
        """


def channel_values(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """Checks a `mean` or `std`.

    Raises:
        UserError: where there is not one value for each channel.
    """
    if len(values) != channels:
        raise UserError(
            f"images: mean and std need {channels} values, one for each channel, not {list(values)}"
        )
    return tuple(float(value) for value in values)
