"""What the importers of all formats check of a file before they read it."""

import hashlib
from pathlib import Path

from acenas.errors import UserError

_POINTER = b"version https://git-lfs"


def check_file(path: Path, what: str) -> None:
    """Checks that `path` is a file with content.

    Args:
        path: the file.
        what: its name in messages, such as "the NAS-Bench-101 file".

    Raises:
        UserError: where it is missing, empty, unreadable or the pointer file of a large-file store.
    """
    try:
        with path.open("rb") as file:
            head = file.read(len(_POINTER))
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}; name {what}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); name {what}") from error
    if not head:
        raise UserError(f"{path} is empty; fetch {what} again")
    if head == _POINTER:
        raise UserError(
            f"{path} is a Git-LFS pointer, not {what} itself; run `git lfs pull` in its folder or fetch the file"
        )


def sha256(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal, read in parts."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
