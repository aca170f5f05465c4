"""TFRecord files (`tensorflow/core/lib/io/record_writer.h`), read one record at a time without TensorFlow."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from acenas.errors import UserError

_HEADER = struct.Struct("<QI")
_CHECK = struct.Struct("<I")
_LARGEST = 1 << 28  # bytes of a record; a larger length is one that was damaged


def read_records(
    path: Path, progress: Callable[[int], object] | None = None, start: tuple[int, int] = (0, 0)
) -> Iterator[bytes]:
    """Yields the records of an uncompressed TFRecord file in order, and verifies both checksums of each.

    Args:
        path: the file.
        progress: called now and then with the number of bytes read.
        start: number and place (in bytes) of the record to begin with.

    Raises:
        UserError: where the file is no TFRecord file or is truncated, a checksum is wrong, or google-crc32c is missing.
    """
    crc32c = _crc32c()
    with path.open("rb", buffering=1 << 20) as file:
        number, position = start
        reported = file.seek(position)
        while header := file.read(_HEADER.size):
            if len(header) < _HEADER.size:
                raise UserError(_truncated(path, number, position))
            length, check = _HEADER.unpack(header)
            if masked(crc32c(header[:8])) != check or length > _LARGEST:
                if number == 0:
                    raise UserError(
                        f"{path} is not an uncompressed TFRecord file; name one, or unpack it first"
                    )
                raise UserError(_damaged(path, number, position, "length"))
            record, tail = file.read(length), file.read(_CHECK.size)
            if len(tail) < _CHECK.size:
                raise UserError(_truncated(path, number, position))
            if masked(crc32c(record)) != _CHECK.unpack(tail)[0]:
                raise UserError(_damaged(path, number, position, "data"))
            yield record
            number += 1
            position += framed_size(record)
            if progress is not None and position - reported >= 1 << 20:
                progress(position)
                reported = position
    if progress is not None:
        progress(position)


def framed_size(record: bytes) -> int:
    """The bytes that `record` takes in the file."""
    return _HEADER.size + len(record) + _CHECK.size


def masked(crc: int) -> int:
    """A CRC-32C as TFRecord files store it: turned by 15 bits and shifted, so that a CRC of CRCs stays sound.

    >>> hex(masked(0xE3069283))
    '0xc78ab0e5'
    """
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _damaged(path: Path, number: int, position: int, what: str) -> str:
    return (
        f"{path}: record {number:,} (at byte {position:,}): wrong checksum of its {what}; the file is damaged, fetch "
        "it again"
    )


def _truncated(path: Path, number: int, position: int) -> str:
    return f"{path} is truncated in record {number:,} (at byte {position:,}); fetch the rest of it, or the file again"


def _crc32c() -> Callable[[bytes], int]:
    try:
        from google_crc32c import value
    except ImportError as error:
        raise UserError(
            "the checksums of TFRecord files need the package google-crc32c; pip install google-crc32c"
        ) from error
    compute: Callable[[bytes], int] = value
    return compute
