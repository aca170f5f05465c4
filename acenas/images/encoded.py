"""Encoded images (JPEG, PNG, WebP) in Parquet files, as data sets are often published."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from rich import get_console
from typing_extensions import override

from acenas.errors import UserError
from acenas.files import atomic_path, open_parquet, reading
from acenas.images.base import Images, ImageSource, ImageSplits, channel_values
from acenas.images.decoding import DAMAGE, THREADS, converted, mode_of, open_image, pixels, reason
from acenas.images.official import data_root
from acenas.images.splits import Division

CHUNK = 500  # images that a thread decodes at a time
LINE_SECONDS = 10.0  # between two lines that say how far it is


class EncodedImages(ImageSource):
    """Two Parquet files, of training and of test images, each row an encoded image and its class.

    All images must have one size. They are converted to as many channels as `mean` has values: 1 (grey), 3 or 4.

    Args:
        root: folder of the files.
        train: file of the training images.
        test: file of the test images.
        division: makes three parts of the two.
        num_classes: labels are below this.
        mean: of each channel, in the unit of the bytes.
        std: standard deviation of each channel, in the unit of the bytes.
        name: of the data set in tables, provenance and folders.
        image_column: column of the encoded images.
        label_column: column of the labels, whole numbers from 0.
        cache_dir: folder to keep the decoded images in, a file of N x C x H x W bytes for each Parquet file; None to
            decode them in each run.

    Raises:
        UserError: where a file is missing.
    """

    def __init__(
        self,
        root: str | Path | None,
        train: str,
        test: str,
        division: Division,
        num_classes: int,
        mean: Sequence[float],
        std: Sequence[float],
        name: str,
        image_column: str = "jpeg",
        label_column: str = "label",
        cache_dir: str | Path | None = None,
    ) -> None:
        folder = data_root(root, f"{train} and {test}")
        self.name = name
        self.train = folder / train
        self.test = folder / test
        self.division = division
        self.num_classes = num_classes
        self.mode = mode_of(mean)
        self.mean = channel_values(mean, len(mean))
        self.std = channel_values(std, len(mean))
        self.image_column = image_column
        self.label_column = label_column
        self.cache_dir = None if cache_dir is None else Path(cache_dir)
        for path in (self.train, self.test):
            if not path.is_file():
                raise UserError(
                    f"{path} is missing: a Parquet file of encoded images ({image_column}) and their classes "
                    f"({label_column}); set data_dir to the folder that holds it"
                )

    @override
    def load(self) -> ImageSplits:
        train, test = self._read(self.train), self._read(self.test)
        if train.images.shape[1:] != test.images.shape[1:]:
            raise UserError(
                f"the images of {self.train} are {tuple(train.images.shape[1:])}, and those of {self.test} "
                f"{tuple(test.images.shape[1:])}; they must have one size"
            )
        return ImageSplits(*self.division.divide(train, test), self.num_classes, self.mean, self.std)

    def _read(self, path: Path) -> Images:
        columns = [self.image_column, self.label_column]
        with reading(path), open_parquet(path) as file:
            held = file.schema_arrow.names
            if not set(columns) <= set(held):
                raise UserError(f"{path} needs the columns {columns}; it has {held}")
            table = file.read(columns=columns)
        if not table.num_rows:
            raise UserError(f"{path} holds no images")
        labels = self._labels(path, table[self.label_column])
        cache = self._cache(path)
        images = None if cache is None else _cached(cache, len(labels))
        if images is None:
            images = _decoded(path, table[self.image_column].to_pylist(), self.mode)
            if cache is not None:
                with atomic_path(cache) as temporary, temporary.open("wb") as file:
                    np.save(file, images)
        return Images(torch.from_numpy(images), labels)

    def _labels(self, path: Path, column: pa.ChunkedArray) -> torch.Tensor:
        if not pa.types.is_integer(column.type) or column.null_count:
            raise UserError(
                f"{path}: {self.label_column} must be whole numbers without gaps, not {column.type}"
            )
        labels = torch.from_numpy(column.to_numpy().astype(np.int64))
        if labels.min() < 0 or labels.max() >= self.num_classes:
            raise UserError(
                f"{path}: {self.label_column} must lie between 0 and {self.num_classes - 1}, not "
                f"{labels.min()} and {labels.max()}"
            )
        return labels

    def _cache(self, path: Path) -> Path | None:
        """Returns a name that changes with the content of the Parquet file."""
        if self.cache_dir is None:
            return None
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        mode = "" if self.mode == "RGB" else f"-{self.mode}"
        return self.cache_dir / f"{self.name}-{path.stem}-{self.image_column}-{digest[:16]}{mode}.npy"


def _cached(cache: Path, count: int) -> np.ndarray | None:
    """Returns the images that were kept; None where there are none, or the file is damaged."""
    try:
        images: np.ndarray = np.load(cache, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return images if images.dtype == np.uint8 and images.ndim == 4 and len(images) == count else None


def _decoded(path: Path, encoded: list[bytes | None], mode: str) -> np.ndarray:
    """Returns `[N, C, H, W]`, uint8; Pillow decodes outside Python's lock, so threads share the work."""
    first = _pixels(path, 0, encoded[0], mode)
    images = np.empty((len(encoded), *first.shape), dtype=np.uint8)

    def decode(start: int) -> int:
        rows = range(start, min(start + CHUNK, len(encoded)))
        for row in rows:
            image = _pixels(path, row, encoded[row], mode)
            if image.shape != first.shape:
                raise UserError(
                    f"{path}, row {row}: an image of {image.shape[2]} x {image.shape[1]} pixels among those of "
                    f"{first.shape[2]} x {first.shape[1]}; bring all images to one size"
                )
            images[row] = image
        return len(rows)

    done, said = 0, time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            for count in pool.map(decode, range(0, len(encoded), CHUNK)):
                done += count
                if time.monotonic() - said > LINE_SECONDS:
                    get_console().print(f"decoded {done} of {len(encoded)} images of {path.name}")
                    said = time.monotonic()
        except UserError:
            pool.shutdown(cancel_futures=True)
            raise
    return images


def _pixels(path: Path, row: int, encoded: bytes | None, mode: str) -> np.ndarray:
    """Returns `[C, H, W]`, uint8."""
    try:
        if not encoded:
            raise ValueError("it is empty")
        with open_image(io.BytesIO(encoded)) as image:
            return pixels(converted(image, mode))
    except DAMAGE as error:
        raise UserError(f"{path}, row {row}: the image is damaged ({reason(error)})") from None
