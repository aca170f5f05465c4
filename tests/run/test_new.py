"""The command `python -m acenas.new`: what it writes runs as written."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from acenas.run.commands.new import KINDS, main
from acenas.tables import BenchmarkTable
from tests.integration.conftest import environment

QUICK = ["logger.mode=disabled", "ranker.pretraining.epochs=2", "ranker.finetuning.passes=10"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_start_is_written_once(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([kind, "mine", "--folder", "conf"]) == 0
    assert "python -m acenas" in capsys.readouterr().out
    text = Path(f"conf/{kind}/mine.yaml").read_text()
    assert "NAME" not in text and "FOLDER" not in text and "mine" in text
    assert main([kind, "mine", "--folder", "conf"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main([kind, "not/mine"]) == 2
    if kind == "table":
        assert len(BenchmarkTable.open("conf/mine.parquet", space="nasbench201")) > 200


@pytest.mark.slow
@pytest.mark.parametrize("folder", [".", "conf"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_start_runs_as_written(kind: str, folder: str, tmp_path: Path) -> None:
    """The commands are those that it prints."""

    def run(command: list[str]) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    written = run([sys.executable, "-m", "acenas.new", kind, "mine", "--folder", folder])
    commands = written.split("\n", 1)[1].replace("\\\n", " ").strip().splitlines()
    assert commands
    for command in commands:
        words = [sys.executable if word == "python" else word for word in shlex.split(command)]
        if "acenas" in words:
            words += QUICK
        run(words)
