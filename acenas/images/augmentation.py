"""Random augmentation of a whole batch at once, on its device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from acenas.errors import UserError
from acenas.images.base import ImageSplits


@dataclass(frozen=True)
class Augmentation:
    """Crop, flip, colour jitter, noise and cutout, drawn independently for every image, applied in this order.

    Attributes:
        padding: pixels of black padding on each side, from which a random crop of the original size is taken.
        flip: half of the images are mirrored left to right.
        colour: brightness, contrast and saturation, in this order, are each multiplied by a number between 1 - `colour`
            and 1 + `colour`, and what leaves the range of bytes is cut off; needs images of three channels.
        noise: standard deviation of the Gaussian noise on every normalised pixel.
        cutout: side of a square of pixels that is set to the mean, its centre anywhere in the image (DeVries and
            Taylor, arXiv 1708.04552); 0 for none.

    Raises:
        UserError: for a value below 0, and for a `colour` above 1.
    """

    padding: int = 0
    flip: bool = False
    colour: float = 0.0
    noise: float = 0.0
    cutout: int = 0

    def __post_init__(self) -> None:
        for name in ("padding", "colour", "noise", "cutout"):
            if getattr(self, name) < 0:
                raise UserError(f"augmentation: {name} must be at least 0, not {getattr(self, name)}")
        if self.colour > 1:
            raise UserError(f"augmentation: colour must be at most 1, not {self.colour}")

    def __call__(self, images: Tensor, splits: ImageSplits, generator: torch.Generator) -> Tensor:
        """Returns augmented and normalised images.

        Args:
            images: `[B, C, H, W]`, uint8, of `splits`.
            splits: knows how to normalise.
            generator: on the device of `images`.

        Returns:
            `[B, C, H, W]`, float32.
        """
        if self.padding:
            images = _random_crop(images, self.padding, generator)
        if self.flip:
            mirrored = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device) < 0.5
            images = torch.where(mirrored, images.flip(3), images)
        if self.colour:
            if images.dtype != torch.uint8 or images.shape[1] != 3:
                raise UserError(
                    "augmentation: colour needs images of bytes in three channels; leave it out with colour=0"
                )
            images = _coloured(images, self.colour, generator)
        normalised = splits.normalise(images)
        if self.noise:
            noise = torch.randn(normalised.shape, generator=generator, device=images.device)
            normalised = normalised + self.noise * noise
        if self.cutout:
            normalised = normalised * _outside_squares(normalised, self.cutout, generator)
        return normalised


def _random_crop(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    count, channels, height, width = images.shape
    device = images.device
    padded = F.pad(images, [padding] * 4)
    corner = torch.randint(2 * padding + 1, (count, 2), generator=generator, device=device)
    rows = corner[:, 0, None] + torch.arange(height, device=device)
    columns = corner[:, 1, None] + torch.arange(width, device=device)
    image = torch.arange(count, device=device)[:, None, None, None]
    channel = torch.arange(channels, device=device)[None, :, None, None]
    return padded[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


def _coloured(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Changes brightness, contrast and saturation of each image; float, within 0 and 255.

    Each mixes the image with another one: black, its mean grey, and its grey-scale version.
    """
    factors = torch.rand(3, len(images), 1, 1, 1, generator=generator, device=images.device)
    brightness, contrast, saturation = 1 + strength * (2 * factors - 1)
    changed = (images.float() * brightness).clamp_(0, 255)
    changed = torch.lerp(_grey(changed).mean((2, 3), keepdim=True), changed, contrast).clamp_(0, 255)
    return torch.lerp(_grey(changed), changed, saturation).clamp_(0, 255)


def _grey(images: Tensor) -> Tensor:
    """`[B, 1, H, W]`: the luma of ITU-R BT.601, as in Pillow."""
    weights = images.new_tensor([0.299, 0.587, 0.114])
    return (images * weights[:, None, None]).sum(1, keepdim=True)


def _outside_squares(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """`[B, 1, H, W]`: 0 in a random square of each image, 1 elsewhere."""
    count, _, height, width = images.shape

    def inside(length: int) -> Tensor:
        centre = torch.randint(length, (count, 1), generator=generator, device=images.device)
        first = centre - side // 2
        position = torch.arange(length, device=images.device)
        return (position >= first) & (position < first + side)

    rows, columns = inside(height), inside(width)
    return (~(rows[:, :, None] & columns[:, None, :])).to(images.dtype)[:, None]
