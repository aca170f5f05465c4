import io
import os
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acenas.errors import UserError
from acenas.files import load_plain
from tests.images.official import pixels, python2_pickle


def unpickle(content: bytes, name: str) -> Any:
    return load_plain(io.BytesIO(content), name)


def test_the_fixture_is_what_python_2_wrote() -> None:
    data, rest = pixels(3, 2, 0), {"labels": [1, -2, 70000], "batch_label": "testing batch 1 of 1"}
    content = python2_pickle({"data": data, **rest})
    assert {code.name for code, _, _ in pickletools.genops(content)} >= {
        "BINSTRING",
        "GLOBAL",
        "REDUCE",
        "BUILD",
    }
    for read in (pickle.loads(content, encoding="latin1"), unpickle(content, "batch")):
        assert np.array_equal(read.pop("data"), data) and read == rest


@pytest.mark.parametrize("protocol", range(5))
def test_arrays_of_python_3_are_read_too(protocol: int) -> None:
    array = pixels(4, 3, 1)
    read = unpickle(pickle.dumps({b"data": array, b"labels": [0, 1, 2, 3]}, protocol=protocol), "batch")
    assert np.array_equal(read[b"data"], array) and read[b"labels"] == [0, 1, 2, 3]


class Evil:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_nothing_that_a_pickle_asks_for_is_run(tmp_path: Path, protocol: int) -> None:
    content = pickle.dumps({"data": Evil(tmp_path / "made")}, protocol=protocol)
    with pytest.raises(UserError, match=r"data_batch_1 was not loaded: it asks for posix.mkdir"):
        unpickle(content, "data_batch_1")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("value", [Path("a"), np.random.default_rng, {1, 2}])
def test_only_arrays_and_what_is_built_in_are_read(value: object) -> None:
    with pytest.raises(UserError, match="no file of plain data needs"):
        unpickle(pickle.dumps(value, protocol=2), "batch")


def test_bytes_have_one_encoding() -> None:
    content = pickle.dumps(b"\xff", protocol=2).replace(b"latin1", b"zlib\x00\x00")
    with pytest.raises(UserError, match="holds bytes encoded as zlib"):
        unpickle(content, "batch")


@settings(max_examples=50)
@given(st.data())
def test_a_damaged_file_is_an_error_that_names_it(data: st.DataObject) -> None:
    content = python2_pickle({"data": pixels(2, 2, 0), "labels": [1, 2]})
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(UserError, match="data_batch_3"):
        unpickle(content[:cut], "data_batch_3")
