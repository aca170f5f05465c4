"""Official files: where they are, where they come from, whether they are whole, and reading CIFAR's format."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import torch

from acenas.errors import UserError
from acenas.files import load_plain
from acenas.images.base import Images


def data_root(root: str | Path | None, holds: str) -> Path:
    """The folder that the user named.

    Args:
        root: what the user gave; None where nothing was given.
        holds: what is looked for in it.

    Raises:
        UserError: where nothing was given, or there is no such folder.
    """
    if root is None:
        raise UserError(
            f"set data_dir or the environment variable ACENAS_DATA to the folder that holds {holds}"
        )
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"there is no folder {root}; set data_dir to the one that holds {holds}")
    return root


def check_md5(content: bytes, expected: str, path: str | Path, page: str) -> None:
    """Checks that a file is the official one.

    Raises:
        UserError: where it is not; names the file, both checksums and the page that it comes from.
    """
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != expected:
        raise UserError(
            f"{path} is damaged, or not the official file: its MD5 is {found}, and should be {expected}; "
            f"get it again from {page}, or say verify=false where it is meant to differ"
        )


def missing(path: str | Path, expected: str, page: str) -> UserError:
    """The error for a file that is not there."""
    return UserError(f"{path} is missing (its MD5 is {expected}); it comes from {page}")


def images_of_batch(
    content: bytes, name: str, label_key: str, side: int, lowest: int, highest: int
) -> Images:
    """Reads a file of CIFAR's format: a pickled dict of `data` and of labels.

    `data` is uint8 `[N, 3 * side * side]`, by channel and row.

    Args:
        content: of the file.
        name: of the file, for messages.
        label_key: where the labels are.
        side: height and width of the images.
        lowest: label that there may be.
        highest: label that there may be.

    Returns:
        `images` `[N, 3, side, side]`; the labels as they are in the file.

    Raises:
        UserError: where the file is damaged, or of another format.
    """
    batch = load_plain(io.BytesIO(content), name)
    if not isinstance(batch, dict):
        raise UserError(f"{name} holds a {type(batch).__name__}, not a dict of data and {label_key}")
    batch = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
    for key in ("data", label_key):
        if key not in batch:
            raise UserError(f"{name} has no {key!r}; it holds {', '.join(map(repr, batch)) or 'nothing'}")
    data, labels = batch["data"], np.asarray(batch[label_key])
    size = 3 * side * side
    if not (isinstance(data, np.ndarray) and data.dtype == np.uint8 and data.shape == (len(data), size)):
        raise UserError(
            f"{name}: data must be an array of N x {size} bytes, not {getattr(data, 'shape', type(data))} "
            f"{getattr(data, 'dtype', '')}".rstrip()
        )
    if labels.shape != (len(data),) or (len(data) and labels.dtype.kind not in "iu"):
        raise UserError(f"{name}: {label_key} must be {len(data)} whole numbers, one for each image")
    if len(labels) and not lowest <= labels.min() <= labels.max() <= highest:
        raise UserError(
            f"{name}: {label_key} must lie between {lowest} and {highest}, not {labels.min()} and {labels.max()}"
        )
    images = torch.from_numpy(data.reshape(-1, 3, side, side).copy())
    return Images(images, torch.from_numpy(labels.astype(np.int64)))
