import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from acenas.tables import BenchmarkTable, find_table
from acenas.tables.command import main
from acenas.tables.schema import Provenance, TableMetadata, write_table

CELL = "|{}~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_3x3~2|"


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("ACENAS_DATA", raising=False)
    frame = pd.DataFrame(
        {
            "arch": [CELL.format("none"), CELL.format("nor_conv_1x1")],
            "d.valid.1": [10.0, 20.5],
            "weak.x": [None, 7.25],
            "note": ["[bold]p", "q"],
        }
    )
    metadata = TableMetadata(
        "nasbench201", source="a paper [1]", columns={"weak.x": Provenance("ten images", "none", "1 s")}
    )
    write_table(frame, tmp_path / "toy.parquet", metadata)
    write_table(frame.assign(arch=["p", "q"]), tmp_path / "wrong.parquet", TableMetadata("nasbench201"))
    write_table(frame, tmp_path / "foreign.parquet", TableMetadata("no_such_space"))
    return tmp_path


def test_list_names_the_tables_at_hand(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data_dir / "broken.parquet").write_bytes(b"PAR1")
    assert main(["list", "--data-dir", str(data_dir)]) == 0
    shown = capsys.readouterr().out
    for text in (
        "toy",
        "wrong",
        "nasbench201",
        "no_such_space",
        "Not usable:",
        "broken.parquet is truncated",
    ):
        assert text in shown


def test_info_of_a_table_of_many_epochs_and_seeds_is_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "nb201_digits"]) == 0
    shown = capsys.readouterr().out
    columns = BenchmarkTable.open(find_table("nb201_digits")).columns
    several = re.findall(r"(\S+) \((\d+) columns\)", shown)
    assert len(shown.splitlines()) < 40 and several
    assert all(len(line) <= 320 for line in shown.splitlines()), "two lines of the console at most"
    for pattern, count in several:
        named = re.compile(re.escape(pattern).replace(r"\*", r"\d+"))
        assert sum(bool(named.fullmatch(column)) for column in columns) == int(count) > 1
    assert main(["info", "nb201_digits", "--all"]) == 0
    shown = capsys.readouterr().out
    assert all(column in shown for column in columns)


def test_info_shows_metadata_and_columns(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "toy", "--data-dir", str(data_dir)]) == 0
    shown = capsys.readouterr().out
    for text in (
        "nasbench201",
        "a paper [1]",
        "licence",
        "not recorded",
        "15.25",
        "7.25",
        "images ten images",
        "text",
    ):
        assert text in shown


def test_verify_accepts_a_sound_table(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(data_dir / "toy.parquet"), "--space", "nasbench201"]) == 0
    shown = capsys.readouterr().out
    assert "Sound:" in shown
    assert "column weak.x lacks 1 of 2 values, which it may" in shown
    assert main(["verify", "foreign", "--data-dir", str(data_dir)]) == 0
    assert "the grammar of architectures was not checked" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "toy", "--space", "nasbench101"], "not nasbench101"),
        (["verify", "wrong"], "wrong.parquet, row 0:"),
        (["verify", "nothing"], "there is no table nothing"),
        (["info", "nowhere.parquet"], "there is no table nowhere.parquet"),
    ],
)
def test_what_is_wrong_is_one_message_and_status_2(
    data_dir: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main([*arguments, "--data-dir", str(data_dir)]) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.err.startswith("acenas: error: ")
    assert shown.err.count("\n") == 1
    assert shown.out == ""


def test_the_command_runs_and_explains_itself(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "acenas.tables"]
    done = subprocess.run(
        [*command, "verify", "gone.parquet"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 2
    assert "there is no table gone.parquet" in done.stderr
    assert "Traceback" not in done.stderr
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
