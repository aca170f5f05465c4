"""Opens encoded images with Pillow; names its errors."""

from __future__ import annotations

from typing import IO

from PIL import Image, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP")  # others of Pillow's start programs or are rarely safe
DAMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises for an image that cannot be read."""


def open_image(file: str | IO[bytes]) -> Image.Image:
    """Opens the image of a path or of an open file. This, and all later use of it, may raise one of `DAMAGE`."""
    return Image.open(file, formats=FORMATS)


def reason(error: BaseException) -> str:
    """Returns why an image cannot be read; Pillow's own message may hold nothing but an object's address."""
    return "of no known format" if isinstance(error, UnidentifiedImageError) else str(error)
