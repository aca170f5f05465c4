"""Encoded images opened with Pillow, and what goes wrong with them."""

from __future__ import annotations

from typing import IO

from PIL import Image, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP")  # others of Pillow's start programs or are rarely safe
DAMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises for an image that cannot be read."""


def open_image(file: str | IO[bytes]) -> Image.Image:
    """The image of a path or of an open file; raises one of `DAMAGE`, and so may all that is done with it."""
    return Image.open(file, formats=FORMATS)


def reason(error: BaseException) -> str:
    """Why an image cannot be read; Pillow's own words may name the object in memory, which says nothing to a reader."""
    return "of no known format" if isinstance(error, UnidentifiedImageError) else str(error)
