"""Official image files are pickles: here they are read without running what a pickle may ask for."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch

from acenas.errors import UserError
from acenas.images.base import Images
from acenas.pickles import PlainUnpickler


def unpickle(content: bytes, name: str) -> Any:
    """Reads a pickle of NumPy arrays and of what Python has built in (dict, list, str, bytes, numbers).

    Strings of Python 2 are taken as Latin-1, as the official files need it.

    Args:
        content: of the file.
        name: of the file, for messages.

    Raises:
        UserError: where the pickle is damaged, or asks for anything else: nothing of it is run.

    >>> import pickle
    >>> unpickle(pickle.dumps({"labels": [1, 2]}), "batch")
    {'labels': [1, 2]}
    >>> unpickle(pickle.dumps(print), "batch")
    Traceback (most recent call last):
    acenas.errors.UserError: batch was not loaded: it asks for builtins.print, which no file of plain data needs
    """
    try:
        return PlainUnpickler(io.BytesIO(content), encoding="latin1").load()
    except UserError as error:
        raise UserError(f"{name} was not loaded: {error}") from None
    except Exception as error:  # a damaged pickle can fail in any way
        raise UserError(
            f"{name} is no whole pickle ({type(error).__name__}: {error}); get the file again"
        ) from None


def images_of_batch(
    content: bytes, name: str, label_key: str, side: int, lowest: int, highest: int
) -> Images:
    """A file of CIFAR's format: a dict of `data`, uint8 `[N, 3 * side * side]` by channel and row, and of labels.

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
    batch = unpickle(content, name)
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
