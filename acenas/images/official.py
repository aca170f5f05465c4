"""Official files: where they are, where they come from, and whether they are whole."""

from __future__ import annotations

import hashlib
from pathlib import Path

from acenas.errors import UserError


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
