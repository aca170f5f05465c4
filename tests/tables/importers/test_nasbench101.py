import base64
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from acenas.errors import UserError
from acenas.spaces import NasBench101
from acenas.tables import BenchmarkTable
from acenas.tables.command import main
from acenas.tables.importers import nasbench101 as module
from acenas.tables.importers.nasbench101 import Imported, decode_metrics, import_nasbench101
from acenas.tables.importers.tfrecord import read_records
from tests.tables.importers import tfrecords

pytest.importorskip("google_crc32c", reason="the checksums of TFRecord files need the package google-crc32c")

SPACE = NasBench101()
VECTOR = (
    "Ci0JAAAAAAAAAAARAAAAAAAAAAAZmpmZmZmZuT8hmpmZmZmZuT8pmpmZmZmZuT8KLQkAAAAAAABLQBEAAAAAAAAkQBkAAAAAAADgPyEAAAAA"
    "AADgPykAAAAAAADgPwotCQAAAAAAAFtAEQAAAAAAADRAGQAAAAAAAPA/IQAAAAAAAO4/KQAAAAAAAO4/EIqYigQZAAAAAAAAPkA="
)
# The second one is not in canonical form, and the third one needs its vertices.
ARCHS = (
    "0100:input,output",
    "0110000100010000:input,maxpool3x3,conv3x3-bn-relu,output",
    "010001000:input,conv1x1-bn-relu,output",
)


def records(epochs: Sequence[int] = (4, 108), archs: Sequence[str] = ARCHS) -> list[bytes]:
    """Three trainings of each cell for so many epochs; the trainings of a cell are apart."""
    return [
        tfrecords.record(
            SPACE.official_hash(arch),
            length,
            arch,
            valid=(10 * cell + training) / 64,
            test=(10 * cell + training + 1) / 128,
            seconds=length * (cell + 1.0) + training,
            parameters=1000 * (cell + 1),
        )
        for training in range(3)
        for length in epochs
        for cell, arch in enumerate(archs)
    ]


def change(data: bytes, **fields: Any) -> bytes:
    names = ("module_hash", "epochs", "adjacency", "operations", "metrics")
    return json.dumps(list((dict(zip(names, json.loads(data), strict=True)) | fields).values())).encode()


def imported(path: Path) -> Imported:
    return import_nasbench101(path, path.with_suffix(".parquet"), SPACE)


def test_the_frame_equals_the_official_one() -> None:
    assert tfrecords.frame(b"abc").hex() == "0300000000000000b099490e6162636e57f121"
    assert tfrecords.crc32c(b"123456789") == 0xE3069283


def test_metrics_equal_the_official_ones() -> None:
    message = base64.b64decode(VECTOR)
    assert decode_metrics(message) == (108.0, 20.0, 0.9375, 0.9375, 8_555_530)
    evaluations = [(0, 0, 0.1, 0.1, 0.1), (54, 10, 0.5, 0.5, 0.5), (108, 20, 1, 0.9375, 0.9375)]
    assert tfrecords.model_metrics(evaluations, 8_555_530, 30) == message


def test_metrics_may_hold_fields_that_are_not_known() -> None:
    message = base64.b64decode(VECTOR)
    extra = b"\x2a\x03abc" + b"\x35\0\0\0\0" + b"\x38\x96\x01" + b"\x41" + b"\0" * 8
    assert decode_metrics(extra + message + extra) == decode_metrics(message)


def test_records_come_back_in_order(tmp_path: Path) -> None:
    content = [b"", b"abc", bytes(range(256)) * 9]
    seen: list[int] = []
    path = tfrecords.write(tmp_path / "file", content)
    assert list(read_records(path, seen.append)) == content
    assert seen[-1] == path.stat().st_size


def test_a_table_has_what_the_file_says(tmp_path: Path) -> None:
    assert imported(tfrecords.write(tmp_path / "nb101.tfrecord", records())) == (18, 3, (4, 108), None)
    table = BenchmarkTable.open(tmp_path / "nb101.parquet", space="nasbench101")
    table.check()
    assert table.archs == SPACE.canonical_all(ARCHS) != list(ARCHS)
    cell = np.arange(3)[:, None]
    training = np.arange(3)[None]
    valid, test = 100 * (10 * cell + training) / 64, 100 * (10 * cell + training + 1) / 128
    for epochs in (4, 108):
        np.testing.assert_allclose(table.column(f"cifar10.observed.{epochs}"), valid[:, 0])
        for split, values in (("valid", valid), ("test", test)):
            np.testing.assert_allclose(
                table.column(f"cifar10.{split}.{epochs}"), values.mean(axis=1), atol=1e-6
            )
            for number in range(3):
                column = table.column(f"cifar10.{split}.{epochs}.s{number}")
                np.testing.assert_allclose(column, values[:, number], atol=1e-6)
        seconds = table.column(f"cifar10.train_seconds.{epochs}")
        np.testing.assert_allclose(seconds, epochs * (cell[:, 0] + 1.0) + 1)
    np.testing.assert_allclose(table.column("cifar10.params_m"), [0.001, 0.002, 0.003])
    assert table.arrow_column("module_hash").to_pylist() == SPACE.hash_all(ARCHS)
    assert "not one of the official files" in table.metadata.source


def test_the_order_of_records_of_other_cells_makes_no_difference(tmp_path: Path) -> None:
    content = records((108,))
    adjacent = [content[place] for cell in range(3) for place in (cell, cell + 3, cell + 6)]
    frames = []
    for name, order in (("apart", content), ("adjacent", adjacent)):
        imported(tfrecords.write(tmp_path / f"{name}.tfrecord", order))
        frames.append(pd.read_parquet(tmp_path / f"{name}.parquet"))
    pd.testing.assert_frame_equal(frames[0], frames[1])


def test_an_import_that_was_killed_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tfrecords.write(tmp_path / "nb101.tfrecord", records())
    imported(path)
    whole = pd.read_parquet(tmp_path / "nb101.parquet")
    (tmp_path / "nb101.parquet").unlink()
    monkeypatch.setattr(module, "_PART", 4)
    begun: list[tuple[int, int]] = []

    def read(source: Path, progress: Any, start: tuple[int, int]) -> Iterator[bytes]:
        begun.append(start)
        for number, record in enumerate(read_records(source, progress, start)):
            if number == 10:
                raise KeyboardInterrupt
            yield record

    monkeypatch.setattr(module, "read_records", read)
    with pytest.raises(KeyboardInterrupt):
        imported(path)
    assert imported(path) == (18, 3, (4, 108), None)
    assert begun == [(0, 0), (8, sum(len(tfrecords.frame(data)) for data in records()[:8]))]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "nb101.parquet"), whole)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "nb101.parquet", path]
    with pytest.raises(KeyboardInterrupt):
        imported(path)
    tfrecords.write(path, records((108,))[:8])
    with pytest.raises(UserError, match="2 of the 3 trainings"):
        imported(path)
    assert begun[-1] == (0, 0), "what was kept is of another file"


def test_a_checksum_may_be_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tfrecords.write(tmp_path / "nb101.tfrecord", records((108,)))
    command = ["import", "nb101", str(path), "--out", str(tmp_path / "out.parquet"), "--sha256"]
    assert main([*command, "0" * 64]) == 2
    assert "and should be 000" in capsys.readouterr().err
    assert main([*command, hashlib.sha256(path.read_bytes()).hexdigest()]) == 0


GOOD = records()
WHOLE = b"".join(map(tfrecords.frame, GOOD))
TWELVE = records((12,))[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4c39\nsize 499\n", "Git-LFS pointer"),
        (b"\x1f\x8b" + b"\0" * 100, "not an uncompressed TFRecord file"),
        (WHOLE[:-2], r"truncated in record 17 \(at byte"),
        (WHOLE + b"\1\2\3", "truncated in record 18"),
        (WHOLE[:20] + b"\0" + WHOLE[21:], r"record 0 \(at byte 0\): wrong checksum of its data"),
        (tfrecords.frame(GOOD[0]) + b"\0" * 40, r"record 1 \(at byte \d+\): wrong checksum of its length"),
        (tfrecords.frame(b"abc"), "record 0: it is not"),
        (tfrecords.frame(b'["00", 108]'), "record 0: it is not"),
        (tfrecords.frame(change(GOOD[0], epochs=200)), "for 200 epochs, and there are 4, 12, 36, 108"),
        (tfrecords.frame(change(GOOD[0], epochs=12)), "its metrics end after 4 of 12 epochs"),
        (tfrecords.frame(change(GOOD[0], metrics=base64.b64encode(b"\x0a\x02\x09").decode())), "cut off"),
        (
            tfrecords.frame(change(GOOD[0], metrics=base64.b64encode(b"\x0a\x01\x09").decode())),
            r"1 evaluation\(s\) instead of 3",
        ),
        (
            tfrecords.frame(tfrecords.record("00", 4, ARCHS[0], 93.4, 0.9, 1.0, 1)),
            "validation accuracy is 93.4, and the file holds fractions",
        ),
        (b"".join(map(tfrecords.frame, GOOD[:-1])), r"2 of the 3 trainings for 108 epochs of cell 010001000"),
        (WHOLE + tfrecords.frame(TWELVE), "1 of the 3 trainings for 12 epochs"),
        (WHOLE + tfrecords.frame(GOOD[0]), "the fourth training"),
        (
            b"".join(
                tfrecords.frame(change(data, module_hash="ab" * 16)) for data in records((4,), ARCHS[:1])
            ),
            "is filed under abab",
        ),
        (
            b"".join(tfrecords.frame(change(data, adjacency="0000")) for data in records((4,), ARCHS[:1])),
            "no path leads from the input to the output",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "nb101.tfrecord"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        imported(path)
    assert re.search(r"[a-z] ", str(caught.value))
    assert list(tmp_path.iterdir()) == [path], "nothing is left where an import fails"


def test_the_command_makes_a_table_that_verifies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tfrecords.write(tmp_path / "nb101.tfrecord", records((108,)))
    out = tmp_path / "data" / "nb101.parquet"
    assert main(["import", "nb101", str(path), "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "3 cells from 9 trainings of 108 epochs" in shown and "not one of the official ones" in shown
    assert main(["verify", str(out), "--space", "nasbench101"]) == 0
    assert main(["import", "nb101", str(tmp_path / "none"), "--out", str(out)]) == 2
    assert "there is no file" in capsys.readouterr().err


@pytest.mark.parametrize("repeats", [1, 2])
def test_fewer_trainings_or_epochs_of_every_cell_are_imported_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], repeats: int
) -> None:
    path, out = tmp_path / "mine.tfrecord", tmp_path / "mine.parquet"
    tfrecords.write(path, records((4,))[: 3 * repeats])
    assert main(["import", "nb101", str(path), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"3 cells from {3 * repeats} trainings of 4 epochs" in said
    assert "table.observed=cifar10.observed.4 table.test=cifar10.test.4" in said
    table = BenchmarkTable.open(out, space="nasbench101")
    table.check()
    valid = 100 * np.array([[10 * cell + training for training in range(repeats)] for cell in range(3)]) / 64
    np.testing.assert_allclose(table.column("cifar10.observed.4"), valid[:, 0])
    np.testing.assert_allclose(table.column("cifar10.valid.4"), valid.mean(axis=1))
    seeds = [f"cifar10.valid.4.s{number}" for number in range(repeats)] if repeats > 1 else []
    assert [name for name in table.columns if name.startswith("cifar10.valid.4.s")] == seeds
    assert f"{repeats} training(s) of each cell" in table.metadata.provenance


@pytest.mark.skipif("ACENAS_DATA" not in os.environ, reason="needs the original files in ACENAS_DATA")
def test_the_retrained_cells_are_imported(tmp_path: Path) -> None:
    path = Path(os.environ["ACENAS_DATA"]) / "original" / "retrained-5-vertices.tfrecord"
    found = import_nasbench101(path, tmp_path / "out.parquet", SPACE)
    assert found == (2532, 2532, (4,), None)
