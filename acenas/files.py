"""Files that are either whole or absent, whenever the process is killed, and how a number is written in one."""

import math
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOM = 1 << 20
"""Bytes of a disk below which it counts as full."""


def is_full(folder: str | Path) -> bool:
    """Whether the disk of `folder` is full: not every library says so where it could not write."""
    return shutil.disk_usage(folder).free < ROOM


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path in the same folder and renames it to `path` when the block ends without an error.

    The temporary file is removed where the block raises. The folder is made where it is missing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # By chance: processes of several containers or machines may have one number.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Writes `text` to `path` atomically, as UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def number(value: float | None, digits: int = 2) -> str:
    """A number with so many digits; a dash where it is unknown."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"
