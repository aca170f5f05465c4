"""Between Arrow and NumPy by their buffers.

pyarrow's own conversions do the same and import pandas on the way, which takes longer than opening a large table.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_DTYPES = {"halffloat": "float16", "float": "float32", "double": "float64"}
"""Arrow's names of floating types → NumPy's; those of integers are the same."""


def is_text(kind: Any) -> bool:
    """Whether this `pyarrow.DataType` is one of text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_number(kind: Any) -> bool:
    """Whether this `pyarrow.DataType` is a boolean, an integer or a float."""
    return bool(pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind))


def present(chunk: Any) -> NDArray[np.bool_]:
    """``[rows]`` bool: where a `pyarrow.Array` has a value (NaN is one)."""
    bitmap = chunk.buffers()[0]
    if bitmap is None:
        return np.ones(len(chunk), dtype=np.bool_)
    bits = np.unpackbits(np.frombuffer(bitmap, np.uint8), bitorder="little")
    return bits[chunk.offset : chunk.offset + len(chunk)].astype(np.bool_)


def numbers(chunk: Any) -> NDArray[Any]:
    """``[rows]``, of the dtype of a numeric `pyarrow.Array` (uint8 for booleans); zero where a value is missing."""
    if pa.types.is_boolean(chunk.type):
        chunk = chunk.cast(pa.uint8())
    dtype = np.dtype(_DTYPES.get(str(chunk.type), str(chunk.type)))
    if not len(chunk):
        return np.zeros(0, dtype)
    stored = np.frombuffer(chunk.buffers()[1], dtype)[chunk.offset : chunk.offset + len(chunk)]
    return np.where(present(chunk), stored, np.zeros((), dtype)) if chunk.null_count else stored


def text(chunk: Any) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """A text `pyarrow.Array` as lengths ``[rows]`` int64 and the joined UTF-8 bytes; length 0 where it is missing."""
    if chunk.null_count:
        chunk = from_strings([value or "" for value in chunk.to_pylist()])
    chunk = chunk.cast(pa.large_string())
    if not len(chunk):
        return np.zeros(0, np.int64), np.zeros(0, np.uint8)
    offsets = np.frombuffer(chunk.buffers()[1], np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
    data = chunk.buffers()[2]
    joined = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return np.diff(offsets), joined[offsets[0] : offsets[-1]]


def from_strings(values: Sequence[str]) -> Any:
    """`values` as a `pyarrow.LargeStringArray`.

    >>> from_strings(["a", "", "bc"]).to_pylist()
    ['a', '', 'bc']
    """
    encoded = [value.encode() for value in values]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(value) for value in encoded], out=offsets[1:])
    return pa.LargeStringArray.from_buffers(
        len(encoded), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))
    )


def from_rows(rows: NDArray[np.int64]) -> Any:
    """``[A]`` int64 as a `pyarrow.Int64Array`, such as `take` wants it."""
    return pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows))])


def equal(left: Any, right: Any) -> NDArray[np.bool_]:
    """``[rows]`` bool: where two `pyarrow.Array` of text without missing values are equal."""
    return numbers(pc.equal(left.cast(pa.large_string()), right.cast(pa.large_string()))).astype(np.bool_)


def padded(chunk: Any, width: int) -> NDArray[np.uint8]:
    """A text `pyarrow.Array` as ``[rows, width]`` uint8, its UTF-8 bytes padded with zeros, or cut, at `width`."""
    filled = pc.ascii_rpad(chunk.cast(pa.large_string()), width, padding="\0")
    lengths, data = text(filled)
    if (lengths == width).all():
        return data.reshape(len(lengths), width)
    starts = np.cumsum(lengths) - lengths
    return np.asarray(data[starts[:, None] + np.arange(width)])
