import fcntl
from pathlib import Path

import pytest

from acenas.report import runs
from acenas.report.summary import build_summary
from tests.report.example import finished_search


def test_the_headline_says_what_came_out() -> None:
    lines = runs.headline(build_summary(finished_search())).splitlines()
    assert lines[0] == "debug on nb201 cifar10, seed 3: 4 architectures trained in 6 s"
    assert lines[1] == "Returned: <f>"
    assert (
        lines[2]
        == "Observed accuracy 85.00 %, test accuracy 86.00 %; the best known has 88.00 % (regret 2.00)."
    )
    assert lines[3] == "Ranking of the space: NDCG@10 1.000, Kendall 1.000."


def test_a_run_is_done_when_its_summary_is_there(tmp_path: Path) -> None:
    assert runs.finished(tmp_path) is None
    runs.finish(tmp_path, {"seed": 1})
    assert runs.finished(tmp_path) == {"seed": 1}
    runs.clear(tmp_path)
    assert runs.finished(tmp_path) is None


class Killed(BaseException):
    """Nothing that is there for errors catches it."""


def test_a_kill_while_a_folder_is_cleared_leaves_nothing_to_go_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_: Path) -> None:
        raise Killed

    runs.finish(tmp_path, {"seed": 1})
    for name in ("pretrain", "trained"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").touch()
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", die)
        with pytest.raises(Killed):
            runs.clear(tmp_path)
    assert runs.finished(tmp_path) is None
    with runs.only_process(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [runs.LOCK]


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(runs.FolderInUseError, match="another process"), runs.only_process(tmp_path):
            pass
    with runs.only_process(tmp_path):
        pass


def test_only_a_folder_without_results_is_removed(tmp_path: Path) -> None:
    for name in ("unused", "used"):
        (tmp_path / name / ".hydra").mkdir(parents=True)
    (tmp_path / "used" / "observations.parquet").touch()
    for folder in tmp_path.iterdir():
        runs.remove_if_unused(folder)
    assert [folder.name for folder in tmp_path.iterdir()] == ["used"]
