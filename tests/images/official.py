"""Files in the official formats, byte for byte but small: a few images each."""

import hashlib
import io
import pickle
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acenas.images import CIFAR10, CIFAR100, ImageNet16


def python2_pickle(value: Any) -> bytes:
    """Protocol 2 as Python 2 wrote it: str is a byte string, arrays are numpy.core.multiarray's."""
    out = io.BytesIO()
    out.write(b"\x80\x02")
    _write(out, value)
    out.write(b".")
    return out.getvalue()


def _write(out: io.BytesIO, value: Any) -> None:
    if isinstance(value, str):
        raw = value.encode("latin1")
        out.write(b"T" + len(raw).to_bytes(4, "little") + raw)  # BINSTRING
    elif isinstance(value, bytes):
        out.write(b"T" + len(value).to_bytes(4, "little") + value)
    elif isinstance(value, int):
        out.write(b"J" + value.to_bytes(4, "little", signed=True))
    elif isinstance(value, list):
        out.write(b"](")
        for item in value:
            _write(out, item)
        out.write(b"e")
    elif isinstance(value, dict):
        out.write(b"}(")
        for key, item in value.items():
            _write(out, key)
            _write(out, item)
        out.write(b"u")
    else:
        assert isinstance(value, np.ndarray) and value.dtype == np.uint8
        out.write(b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t")
        _write(out, "b")
        out.write(b"tR(K\x01(")
        for size in value.shape:
            _write(out, size)
        out.write(b"tcnumpy\ndtype\n(")
        _write(out, "u1")
        out.write(b"K\x00K\x01tR(K\x03")
        _write(out, "|")
        out.write(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89")
        _write(out, value.tobytes())
        out.write(b"tb")


def pixels(count: int, side: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3 * side * side), dtype=np.uint8)


def cifar10_files(count: int = 20) -> dict[str, bytes]:
    files = {}
    for number, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        batch = {
            "batch_label": f"batch {number}",
            "labels": [(number + i) % 10 for i in range(count)],
            "data": pixels(count, 32, number),
            "filenames": [f"{i}.png" for i in range(count)],
        }
        files[name] = python2_pickle(batch)
    return files


def cifar100_files(count: int = 20) -> dict[str, bytes]:
    return {
        name: python2_pickle(
            {
                "filenames": [f"{i}.png" for i in range(count)],
                "batch_label": f"{name} batch 1 of 1",
                "fine_labels": [(7 * i) % 100 for i in range(count)],
                "coarse_labels": [i % 20 for i in range(count)],
                "data": pixels(count, 32, 10 + number),
            }
        )
        for number, name in enumerate(["train", "test"])
    }


def imagenet16_files(count: int = 20) -> dict[str, bytes]:
    """Labels 1, 51, 101, ..., so that some are above 120."""
    files = {}
    for number, name in enumerate([*(f"train_data_batch_{i}" for i in range(1, 11)), "val_data"]):
        labels = [1 + (number + 50 * i) % 1000 for i in range(count)]
        batch: dict[str, Any] = {"data": pixels(count, 16, 20 + number), "labels": labels}
        files[name] = pickle.dumps(batch, protocol=2) if number % 2 else python2_pickle(batch)
    return files


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def write_archive(path: Path, folder: str, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in {"batches.meta": b"not read", **files}.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def make_official(
    monkeypatch: pytest.MonkeyPatch,
    source: type[CIFAR10] | type[CIFAR100] | type[ImageNet16],
    files: dict[str, bytes],
) -> None:
    """Lets the MD5 of `files` pass for the official ones."""
    for part in ("train_files", "test_files"):
        md5 = {name: hashlib.md5(files[name]).hexdigest() for name in getattr(source, part)}
        monkeypatch.setattr(source, part, md5)


def planes(content: bytes, side: int) -> Iterator[np.ndarray]:
    """The images `[3, side, side]` of a file by plain loops: all red bytes, row by row, then green, then blue."""
    batch = pickle.loads(content, encoding="latin1")
    for row in batch["data"]:
        image = np.zeros((3, side, side), dtype=np.uint8)
        for channel in range(3):
            for y in range(side):
                start = channel * side * side + y * side
                image[channel, y] = row[start : start + side]
        yield image
