import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acenas.tables import arrow

texts = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12), max_size=9
)


@given(texts, st.data())
def test_text_is_its_utf8_bytes_also_in_a_slice(values: list[str], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(values)))
    for kind in (pa.string(), pa.large_string()):
        lengths, joined = arrow.text(pa.array(values, kind).slice(start))
        expected = [value.encode() for value in values[start:]]
        assert lengths.tolist() == [len(value) for value in expected]
        assert joined.tobytes() == b"".join(expected)
    assert arrow.from_strings(values).equals(pa.array(values, pa.large_string()))


@given(texts, st.integers(1, 30))
def test_padding_fills_with_zeros_and_cuts(values: list[str], width: int) -> None:
    rows = arrow.padded(pa.array(values, pa.string()), width)
    assert rows.shape == (len(values), width)
    for row, value in zip(rows, values, strict=True):
        assert row.tobytes() == value.encode().ljust(width, b"\0")[:width]


@pytest.mark.parametrize(
    "kind", [pa.float16(), pa.float32(), pa.float64(), pa.int8(), pa.uint16(), pa.int64(), pa.bool_()]
)
def test_numbers_are_those_of_arrow(kind: pa.DataType) -> None:
    chunk = (
        pa.array([np.float16(0), None, np.float16(1)] if kind == pa.float16() else [0, None, 1])
        .cast(kind)
        .slice(1)
    )
    assert arrow.present(chunk).tolist() == [False, True]
    assert arrow.numbers(chunk).tolist() == [0, 1]
    assert arrow.numbers(chunk.slice(2)).tolist() == []
