"""What the importers of all formats check of a file before they read it."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from acenas.errors import UserError

_POINTER = b"version https://git-lfs"


def check_file(path: Path, what: str) -> None:
    """Raises `UserError` where a file (`what` in messages) is missing, empty, unreadable or a Git-LFS pointer."""
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


@contextmanager
def reading_record(where: str, what: str) -> Iterator[None]:
    """Turns whatever a record of another form leads to into one `UserError`."""
    try:
        yield
    except Exception as error:
        reason = f"there is no {error}" if isinstance(error, KeyError) else error
        raise UserError(f"{where}: {reason}; is it {what}?") from error


def repeats(name: str, values: Sequence[Sequence[float]]) -> dict[str, list[float | None]]:
    """Returns the columns `<name>.s0`, `<name>.s1` ... of repeated trainings; none where none was repeated."""
    count = max(map(len, values))
    return {
        f"{name}.s{number}": [of_arch[number] if number < len(of_arch) else None for of_arch in values]
        for number in range(count if count > 1 else 0)
    }


def sha256(path: Path, expected: str = "", md5: str = "") -> str:
    """Returns the SHA-256 of a file in hexadecimal.

    Raises:
        UserError: where it is not the `expected` one, or the MD5 not `md5`; empty ones are not checked.
    """
    digests = {
        name: hashlib.new(name, usedforsecurity=False) for name in ("sha256", "md5")[: 2 if md5 else 1]
    }
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            for digest in digests.values():
                digest.update(part)
    for name, due in (("sha256", expected), ("md5", md5)):
        if due and digests[name].hexdigest() != due.lower():
            raise UserError(
                f"{path} is not the official file, or is damaged: its {name.upper()} is {digests[name].hexdigest()}, "
                f"and should be {due}; remove it and get it again"
            )
    return digests["sha256"].hexdigest()
