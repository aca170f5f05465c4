"""Official files in CIFAR's format: where they are, whether they are whole, and reading them."""

from __future__ import annotations

import hashlib
import io
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from typing_extensions import override

from acenas.errors import UserError
from acenas.files import load_plain
from acenas.images.base import Images, ImageSource, ImageSplits, channel_values
from acenas.images.splits import Division


class OfficialImages(ImageSource):
    """A data set in files of CIFAR's format: pickled dicts of bytes and labels.

    Attributes:
        page: where the files come from.
        train_files: names of the training files, and their MD5.
        test_files: likewise.
        label_key: key of the labels in a file.
        side: height and width of an image.
        labels: smallest and largest label in a file.
    """

    page: ClassVar[str]
    train_files: ClassVar[dict[str, str]]
    test_files: ClassVar[dict[str, str]]
    label_key: ClassVar[str] = "labels"
    side: ClassVar[int]
    labels: ClassVar[tuple[int, int]]

    def __init__(
        self, division: Division, num_classes: int, mean: Sequence[float], std: Sequence[float], verify: bool
    ) -> None:
        self.division = division
        self.num_classes = num_classes
        self.mean = channel_values(mean, 3)
        self.std = channel_values(std, 3)
        self.verify = verify

    @override
    def load(self) -> ImageSplits:
        read = {name: self._images(name, content) for name, content in self.contents()}
        train, test = (
            Images(*(torch.cat(tensors) for tensors in zip(*(read[name] for name in names), strict=True)))
            for names in (self.train_files, self.test_files)
        )
        return ImageSplits(*self.division.divide(train, test), self.num_classes, self.mean, self.std)

    @abstractmethod
    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Yields name and content of each file. Raises `UserError` for a missing one."""

    def read_folder(self, folder: Path) -> Iterator[tuple[str, bytes]]:
        """Yields name and content of each file of a folder. Raises `UserError` for a missing one."""
        for name in (*self.train_files, *self.test_files):
            if not (folder / name).is_file():
                raise self.missing(folder / name)
            yield name, (folder / name).read_bytes()

    def missing(self, path: str | Path) -> UserError:
        """Returns the error for the official file `path`, which is not there."""
        md5 = {**self.train_files, **self.test_files}[Path(path).name]
        return UserError(f"{path} is missing (its MD5 is {md5}); it comes from {self.page}")

    def _images(self, name: str, content: bytes) -> Images:
        expected = {**self.train_files, **self.test_files}[name]
        found = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if self.verify and found != expected:
            raise UserError(
                f"{name} is damaged, or not the official file: its MD5 is {found}, and should be {expected}; "
                f"get it again from {self.page}, or say verify=false where it is meant to differ"
            )
        lowest, highest = self.labels
        images, labels = images_of_batch(content, name, self.label_key, self.side, lowest, highest)
        kept = labels < lowest + self.num_classes
        return Images(images[kept], labels[kept] - lowest)


def data_root(root: str | Path | None, holds: str) -> Path:
    """Returns the folder that the user named, in which `holds` is looked for.

    Raises:
        UserError: where none was named, or there is no such folder.
    """
    if root is None:
        raise UserError(
            f"set data_dir or the environment variable ACENAS_DATA to the folder that holds {holds}"
        )
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"there is no folder {root}; set data_dir to the one that holds {holds}")
    return root


def images_of_batch(
    content: bytes, name: str, label_key: str, side: int, lowest: int, highest: int
) -> Images:
    """Reads a file of CIFAR's format: a pickled dict of `data` and of labels.

    `data` is uint8 `[N, 3 * side * side]`, by channel and row; labels lie between `lowest` and `highest`.

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
            raise UserError(
                f"{name} has no {key!r:.200}; it holds {', '.join(map(repr, batch)) or 'nothing'}"
            )
    data, given = batch["data"], batch[label_key]
    plain = isinstance(given, np.ndarray) or (isinstance(given, list) and {*map(type, given)} <= {int})
    labels = np.asarray(given if plain else [])
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
