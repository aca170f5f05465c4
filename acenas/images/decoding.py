"""Opens encoded images with Pillow; names its errors."""

from __future__ import annotations

import os
from collections.abc import Sized
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from acenas.errors import UserError

THREADS = min(8, os.cpu_count() or 1)  # that decode at once; more than cores only wait for Python's lock
FORMATS = ("JPEG", "PNG", "WEBP")  # others of Pillow's start programs or are rarely safe
DAMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises for an image that cannot be read."""


def open_image(file: str | IO[bytes]) -> Image.Image:
    """Opens the image of a path or of an open file. This, and all later use of it, may raise one of `DAMAGE`."""
    return Image.open(file, formats=FORMATS)


def mode_of(mean: Sized) -> str:
    """Returns Pillow's mode of images with as many channels as there are means: grey, colour, or with transparency."""
    modes = {1: "L", 3: "RGB", 4: "RGBA"}
    if len(mean) not in modes:
        raise UserError(
            f"images: mean needs 3 values, one for each channel (or 1 for grey images, 4 with transparency), not {mean}"
        )
    return modes[len(mean)]


def converted(image: Image.Image, mode: str) -> Image.Image:
    """Returns the image in a `mode` of Pillow's of 8 bits a channel.

    Raises:
        ValueError: where its pixels have no largest value to scale by.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        # Pillow's own conversion cuts 16 bits at 255, which is white; of colours it takes the upper 8 bits, as this.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode}, and 8 or 16 bits are read")
    return image.convert(mode)


def pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Returns the bytes of an image as `[C, H, W]`."""
    array = np.asarray(image)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def reason(error: BaseException) -> str:
    """Returns why an image cannot be read; Pillow's own message may hold nothing but an object's address."""
    if isinstance(error, UnidentifiedImageError):
        return "of no known format"
    return str(getattr(error, "strerror", None) or error)
