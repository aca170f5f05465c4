"""Commands on file systems that are read-only or full; they are mounted for the test."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from acenas.report import runs
from acenas.report.command import main as report
from acenas.run.command_line import checked_config
from acenas.run.commands import status
from tests.report.runs import finished_run
from tests.shortcuts import acenas_here

Mount = Callable[..., Path]
GIVEN = ("experiment=debug", "logger.mode=disabled")


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mount]:
    """Mounts a file system in memory with these options, or mounts it anew."""
    monkeypatch.delenv("ACENAS_DATA", raising=False)
    (where := tmp_path / "mounted").mkdir()

    def mounted(*options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "none", str(where)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("nothing can be mounted here")
        return where

    yield mounted
    while subprocess.run(["umount", where], capture_output=True).returncode == 0:
        pass


def test_on_a_read_only_disk_what_is_done_is_shown(
    mount: Mount, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acenas.run.commands.run.headline", lambda *_: "its result")
    root = mount("size=16m")
    folder = finished_run(root, 0)
    config = checked_config([*GIVEN])
    (folder / runs.CONFIG).write_text(OmegaConf.to_yaml(config, resolve=True))
    half = finished_run(root, 1)
    (half / runs.CONFIG).write_text(OmegaConf.to_yaml(config, resolve=True))
    (half / runs.SUMMARY).unlink()
    mount("remount", "ro")

    def run(*words: str) -> tuple[int, str]:
        done = acenas_here(*GIVEN, *words, cwd=tmp_path)
        return done.returncode, done.stdout.splitlines()[-1] if done.returncode == 0 else done.stderr

    assert run(f"hydra.run.dir={folder}") == (0, f"Run folder: {folder}")
    refused = "Read-only file system; make room, or name a folder that can be written\n"
    for words in (
        [f"output_root={root}/new"],
        [f"hydra.run.dir={half}"],
        [f"hydra.run.dir={folder}", "fresh=true"],
    ):
        code, said = run(*words)
        assert code == 2 and said.startswith(f"acenas: error: {root}") and said.endswith(refused)
    capsys.readouterr()
    assert status.main([str(root)]) == 0 and report([str(folder), "--out", str(root / "page")]) == 2
    out, told = capsys.readouterr()
    assert "1 done, 1 stopped" in out and told.endswith(refused)


@pytest.mark.parametrize("size", ["4k", "8k", "16k"])
def test_a_disk_that_is_full_from_the_first_byte_on_is_one_message(
    mount: Mount, tmp_path: Path, size: str
) -> None:
    done = acenas_here(*GIVEN, f"output_root={mount(f'size={size}')}/runs", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.splitlines()[-1].endswith(
        "No space left on device; make room, or name a folder that can be written"
    )
