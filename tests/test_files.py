import errno
import gzip
import io
import json
import os
import pickle
import pickletools
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acenas.errors import UserError
from acenas.files import (
    atomic_path,
    load_plain,
    own_configs,
    parse_json,
    read_frame,
    read_json,
    read_state,
    unpacked,
)
from tests.images.official import pixels, python2_pickle


def unpickle(content: bytes, name: str) -> Any:
    return load_plain(io.BytesIO(content), name)


def test_the_folder_of_ones_own_configurations_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for value, expected in {"": None, "~": tmp_path}.items():
        monkeypatch.setenv("ACENAS_CONF", value)
        assert own_configs() == expected
    monkeypatch.setenv("ACENAS_CONF", "~/nowhere")
    with pytest.raises(UserError, match="ACENAS_CONF=~/nowhere: there is no such folder"):
        own_configs()


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


# --- written whole ---


def test_a_file_and_its_name_are_on_the_disk_before_anything_relies_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def fsync(opened: int) -> None:
        name = Path(f"/proc/self/fd/{opened}").resolve()
        seen.append(
            f"{'folder' if name.is_dir() else 'file'}, {'old' if path.read_text() == 'old' else 'new'}"
        )

    monkeypatch.setattr("os.fsync", fsync)
    path = tmp_path / "result.json"
    path.write_text("old")
    for durable in (True, False):
        with atomic_path(path, durable) as temporary:
            temporary.write_text("new")
        assert path.read_text() == "new" and seen == ["file, old", "folder, new"]


def test_a_folder_that_cannot_be_synced_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on some network file systems; a full disk is one."""
    monkeypatch.setattr("os.fsync", lambda _: os.read(-1, 1))
    with atomic_path(tmp_path / "a") as temporary:
        temporary.touch()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"), atomic_path(tmp_path / "b") as temporary:
        temporary.touch()
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


# --- what a file must be ---


KIND = {
    "arch": str,
    "value?": float,
    "curve": [{"n": int}],
    "best": ({"a": str}, type(None)),
    "by": {str: (float, type(None))},
}
GOOD = {"arch": "a", "curve": [{"n": 1, "more": []}], "best": None, "by": {"x": 1, "y": None}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, ""),
        ({"value": 1, "best": {"a": "b"}, "unknown": [{}]}, ""),
        ({"value": "1"}, "its value is '1', not a number"),
        ({"value": True}, "its value is True, not a number"),
        ({"value": 10**400}, "not a number"),
        ({"arch": None}, "its arch is None, not text"),
        ({"curve": {}}, "its curve is {}, not a list"),
        ({"curve": [{"n": 1}, {"n": 1.5}]}, r"its curve\[1\].n is 1.5, not a whole number"),
        ({"curve": [{}]}, r"its curve\[0\] has no n"),
        ({"best": "a"}, "its best is 'a', not an object"),
        ({"by": {"x": []}}, r"its by.x is \[\], not a number or null"),
        ({"arch": "x" * 10**6, "best": "y" * 10**6}, "its best is 'y{40}"),
    ],
)
def test_json_of_another_kind_is_an_error_that_names_the_place(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    (tmp_path / "a.json").write_text(json.dumps(GOOD | change))
    if not message:
        assert read_json(tmp_path / "a.json", KIND) == GOOD | change
        return
    with pytest.raises(UserError, match=rf"a.json is damaged, .*{message}.*; remove it") as error:
        read_json(tmp_path / "a.json", KIND, "remove it")
    assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"nothing",
        b"\xff\xfe",
        b"[" * 10**5,
        b'{"arch": ' + b"9" * 10**4 + b"}",
        b"\0" * 100,
        b"null",
    ],
)
def test_what_is_no_json_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match=r"a.json is damaged, .*; remove it") as error:
        read_json(tmp_path / "a.json", KIND, "remove it")
    assert len(str(error.value)) < 300


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    for read in (read_json, read_frame):
        with pytest.raises(UserError, match=r"there is no file .*a.json"):
            read(tmp_path / "a.json", {})
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\)"):
        read_json(tmp_path, {})


@settings(max_examples=100)
@given(st.binary(max_size=60))
def test_any_bytes_are_json_or_an_error(content: bytes) -> None:
    try:
        parse_json(content, KIND)
    except (ValueError, RecursionError):
        return
    raise AssertionError(content)


@pytest.mark.parametrize("length", [0, 3, 500, 1000, -200, -8, -1])
def test_a_damaged_frame_is_one_sentence(tmp_path: Path, length: int) -> None:
    path = tmp_path / "observations.parquet"
    pd.DataFrame({"arch": ["a", "b"], "round": [1, 2], "value": [0.5, None]}).to_parquet(path)
    columns = {"arch": "text", "round": "numbers", "value": "numbers"}
    assert read_frame(path, columns)["value"].isna().tolist() == [False, True]
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UserError, match=r"observations.parquet is damaged, .*; remove it"):
        read_frame(path, columns, "remove it")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"value": "numbers"}, "Column value does not exist"),
        ({"arch": "numbers"}, "its column arch holds .*string, not numbers"),
        ({"round": "text"}, "its column round holds int64, not text"),
    ],
)
def test_a_frame_of_other_columns_is_one_sentence(
    tmp_path: Path, columns: dict[str, str], message: str
) -> None:
    pd.DataFrame({"arch": ["a"], "round": [1]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(UserError, match=message):
        read_frame(tmp_path / "a.parquet", columns)


def test_a_state_runs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    torch.save({"tensor": torch.ones(2), "plain": [1, "a"]}, path)
    assert read_state(path, "remove it")["plain"] == [1, "a"]
    content = path.read_bytes()
    for damaged in (content[:100], b"", b"PK" + content[3:], pickle.dumps(Path("a"))):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"state.pt is damaged, .*; remove it"):
            read_state(path, "remove it")
    torch.save(Evil(tmp_path / "made"), path)
    with pytest.raises(UserError, match=r"state.pt is damaged, .*; remove it"):
        read_state(path, "remove it")
    assert not (tmp_path / "made").exists()


def test_a_bomb_is_refused_by_the_bytes_that_come_out() -> None:
    size = 1 << 27
    packed = gzip.compress(
        pickle.PROTO + b"\4" + pickle.BINBYTES8 + size.to_bytes(8, "little") + bytes(size) + b"."
    )
    read = 0
    with (
        gzip.open(io.BytesIO(packed)) as file,
        unpacked(cast(BinaryIO, file), len(packed)) as content,
        pytest.raises(UserError, match="unpacks to more than a hundred times its size"),
    ):
        while part := content.read(1 << 20):
            read += len(part)
    assert read <= (1 << 26) + 100 * len(packed)
    with (
        gzip.open(io.BytesIO(packed)) as file,
        pytest.raises(UserError, match="not loaded: it unpacks to more"),
    ):
        load_plain(unpacked(cast(BinaryIO, file), len(packed)), "bomb")


# --- pickles ---


@pytest.mark.parametrize("value", [((((1,),),),), {((("a",),),): 1}])
def test_tuples_are_not_deep(value: object) -> None:
    with pytest.raises(UserError, match="tuples in tuples in tuples"):
        unpickle(pickle.dumps(value), "batch")
    shallow = {("cifar10", 888): 1, "a": ((1, 2), (3,)), "b": {1, 2}}
    assert unpickle(pickle.dumps(shallow, 4), "batch") == shallow


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


def record_size(seen: list[int], filled: dict[Any, Any]) -> None:
    seen.append(len(filled))


def test_values_that_a_pickle_repeats_are_the_same_where_it_is_shrunk(tmp_path: Path) -> None:
    """References to earlier values, by every protocol and with gaps in their numbers."""
    shared = ["a", {"b": 1.5}]
    content = {"x": shared, "y": [shared, "a", "b", "c" * 300], "z": {str(i): i for i in range(2500)}}
    for protocol in (2, 4):
        for data in (pickle.dumps(content, protocol), pickletools.optimize(pickle.dumps(content, protocol))):
            seen: list[int] = []
            read = load_plain(io.BytesIO(data), tmp_path, partial(record_size, seen))
            assert read == content and read["x"] is read["y"][0]
            assert max(seen) == 2500
    with pytest.raises(UserError, match="value 4,000,000,000 comes after"):
        load_plain(
            io.BytesIO(b"\x80\x02}r" + (4_000_000_000).to_bytes(4, "little") + b"."),
            tmp_path,
            print,
        )
