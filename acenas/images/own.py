"""Images of one's own: arrays, or a torch data set, handed in from Python or named in a configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset
from typing_extensions import override

from acenas.errors import UserError
from acenas.images.base import Images, ImageSource, ImageSplits, channel_values
from acenas.images.decoding import DAMAGE, converted, pixels, reason
from acenas.images.splits import Division, RandomDivision


class OwnImages(ImageSource):
    """Images in memory, of any size and number of channels, from arrays or a torch data set.

    An image is an array, a tensor or a Pillow image, `[H, W]`, `[C, H, W]` or `[H, W, C]`: channels are the shorter of
    the first and the last axis. Bytes stay bytes; floats are kept as they are, in float32. All images have one size.

    Args:
        train: a pair of `N` images and `N` labels, or a data set whose items are (image, label). Labels are whole
            numbers from 0.
        test: as `train`; None where there is no split, and `division` then makes all three parts of `train`.
        division: makes three parts; None for 20 % to validate on and, without `test`, 20 % to test on, drawn by seed 0.
        mean: of each channel, in the unit of the images; None for that of the training part.
        std: standard deviation of each channel; None for that of the training part.
        name: of the data set in tables, provenance and folders.

    Raises:
        UserError: where an argument makes no sense. `load` raises it where images or labels do not fit.

    >>> source = OwnImages((np.zeros((10, 28, 28), np.uint8), [0, 1] * 5))
    >>> splits = source.load()
    >>> splits.image_shape, splits.num_classes, len(splits.valid.labels)
    ((1, 28, 28), 2, 2)
    """

    def __init__(
        self,
        train: Dataset[Any] | Sequence[Any],
        test: Dataset[Any] | Sequence[Any] | None = None,
        division: Division | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        name: str = "own",
    ) -> None:
        self.train = train
        self.test = test
        if division is None:
            division = (
                RandomDivision("whole", (None, 0.2, 0.2))
                if test is None
                else RandomDivision("train", (None, 0.2))
            )
        self.division = division
        self.mean = mean
        self.std = std
        self.name = name

    @override
    def load(self) -> ImageSplits:
        train = _images(self.train, "train")
        test = None if self.test is None else _images(self.test, "test")
        if test is not None and test.images.shape[1:] != train.images.shape[1:]:
            raise UserError(
                f"images: those of train are {list(train.shape)}, and those of test {list(test.shape)} (channels, "
                "height, width); bring all to one size"
            )
        num_classes = 1 + max(int(part.labels.max()) for part in (train, test) if part is not None)
        parts = self.division.divide(train, test)
        pixels = parts.train.images.float()
        mean = pixels.mean((0, 2, 3)).tolist() if self.mean is None else self.mean
        std = pixels.std((0, 2, 3)).clamp(min=1e-6).tolist() if self.std is None else self.std
        channels = train.shape[0]
        return ImageSplits(*parts, num_classes, channel_values(mean, channels), channel_values(std, channels))


def _images(given: Dataset[Any] | Sequence[Any], part: str) -> Images:
    """Returns the images and labels of a pair of arrays, or of a data set. Raises `UserError` where they do not fit."""
    if isinstance(given, Sequence) and len(given) == 2 and not isinstance(given[0], tuple):
        pictures, classes = given
    elif hasattr(given, "__len__") and hasattr(given, "__getitem__"):
        try:
            pictures, classes = zip(*(given[i] for i in range(len(given))), strict=True)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"images: an item of {part} is not a pair of an image and its label ({error})"
            ) from error
    else:
        raise UserError(
            f"images: {part} must be a pair of images and labels, or a data set with a length, not a "
            f"{type(given).__name__}"
        )
    if not len(pictures) or len(pictures) != len(classes):
        raise UserError(f"images: {part} has {len(pictures)} images and {len(classes)} labels")
    labels = np.asarray(classes)
    if labels.ndim != 1 or labels.dtype.kind not in "iub" or labels.min() < 0:
        raise UserError(f"images: the labels of {part} must be whole numbers from 0, one for each image")
    first = _tensor(pictures[0])
    images = torch.empty((len(pictures), *first.shape), dtype=first.dtype)
    for number, picture in enumerate(pictures):
        image = _tensor(picture)
        if image.shape != first.shape or image.dtype != first.dtype:
            raise UserError(
                f"images: number {number} of {part} is {image.dtype} {list(image.shape)}, and the first {first.dtype} "
                f"{list(first.shape)} (channels, height, width); bring all to one size and type"
            )
        images[number] = image
    if not images.isfinite().all():
        raise UserError(f"images: there are values of {part} that are not finite")
    return Images(images, torch.from_numpy(labels.astype(np.int64)))


def _tensor(picture: Any) -> torch.Tensor:
    """Returns an image as `[C, H, W]`, uint8 or float32."""
    if isinstance(picture, Image.Image):
        grey = picture.mode.startswith(("1", "L", "I", "F"))
        mode = "RGBA" if picture.mode == "RGBA" else "L" if grey else "RGB"
        try:
            return torch.tensor(pixels(converted(picture, mode)))
        except DAMAGE as error:
            raise UserError(f"images: an image cannot be read: {reason(error)}") from None
    image = picture if isinstance(picture, torch.Tensor) else torch.from_numpy(np.array(picture))
    if image.ndim == 2:
        image = image[None]
    if (
        image.ndim != 3
        or image.dtype == torch.bool
        or not (image.dtype == torch.uint8 or image.is_floating_point())
    ):
        raise UserError(
            f"images: an image is {image.dtype} {list(image.shape)}; bytes or floats are needed, height x width, with "
            "the channels before or behind"
        )
    if image.shape[2] < image.shape[0]:
        image = image.permute(2, 0, 1)
    return image if image.dtype == torch.uint8 else image.float()
