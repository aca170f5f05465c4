"""One configuration, one folder; a folder that is removed under its run is an error."""

import shutil
from pathlib import Path

import pytest
from hydra import compose
from omegaconf import DictConfig, OmegaConf

from acenas.errors import UserError
from acenas.report import runs
from acenas.report.live.status import RunStatus
from acenas.run import pipeline
from acenas.run.api import complete
from acenas.run.command_line import checked_config
from acenas.run.config import composing, conf_dir, other_run
from acenas.run.folder import FolderRemovedError, finish, only_process
from tests.report.runs import finished_run
from tests.shortcuts import acenas_here

EXPERIMENTS = sorted(path.stem for path in Path(conf_dir(), "experiment").glob("*.yaml"))
GIVEN = ["experiment=debug", "logger.mode=disabled"]


@pytest.fixture(autouse=True)
def _no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `acenas_here` runs its commands: where data lie is a part of the configuration."""
    monkeypatch.delenv("ACENAS_DATA", raising=False)


def folder_of(path: Path, seed: int) -> Path:
    """A folder that a run of this seed has begun or, with a summary in it, is done."""
    path.mkdir(parents=True, exist_ok=True)
    cfg = checked_config([*GIVEN, f"seed={seed}"])
    (path / runs.CONFIG).write_text(OmegaConf.to_yaml(cfg, resolve=True))
    (path / runs.LOCK).touch()
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "run.log"
    }


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_folder_holds_the_configuration_that_it_was_made_for(experiment: str, tmp_path: Path) -> None:
    with composing():
        cfg, other = (compose("config", [f"experiment={experiment}", f"seed={seed}"]) for seed in (8, 9))
    (tmp_path / runs.CONFIG).write_text(OmegaConf.to_yaml(cfg, resolve=True))
    assert other_run(cfg, tmp_path) == ""
    assert other_run(other, tmp_path).startswith("holds a run of another configuration (seed: 8, not 9")


@pytest.mark.parametrize(
    ("overrides", "difference"),
    [
        (["seed=9"], "(seed: 8, not 9, ranker.seed: 8, not 9"),
        (["seed=8", "loss=mse"], "loss._target_: acenas.ranking.LambdaRankLoss, not"),
        (
            ["seed=8", "weak_labels=[]"],
            "weak_labels: ['weak.supernet.s0', 'weak.supernet_loss.s0', 'digits.flops_m'",
        ),
        (["seed=8", "+evaluator.more=1"], "evaluator.more: None, not 1"),
        (["seed=8", "search.budget=13"], "search.budget: 12, not 13"),
        (["seed=8"], ""),
        (["seed=8", "evaluator.attempts=3", "output_root=elsewhere"], ""),
    ],
)
def test_what_sets_two_runs_apart_is_named(overrides: list[str], difference: str, tmp_path: Path) -> None:
    said = other_run(checked_config([*GIVEN, *overrides]), folder_of(tmp_path, seed=8))
    assert difference in said and bool(said) == bool(difference)


def test_weak_labels_that_a_run_has_found_are_no_other_configuration(tmp_path: Path) -> None:
    cfg = checked_config([*GIVEN, "weak_labels=auto"])
    (tmp_path / runs.CONFIG).write_text(
        OmegaConf.to_yaml(OmegaConf.merge(cfg, {"weak_labels": ["params_m"]}), resolve=True)
    )
    assert other_run(cfg, tmp_path) == ""


@pytest.mark.parametrize("done", [False, True])
def test_a_folder_of_another_configuration_is_refused_and_left_alone(done: bool, tmp_path: Path) -> None:
    folder = folder_of(finished_run(tmp_path, 0) if done else tmp_path / "mine", seed=8)
    before = content(folder)
    refused = acenas_here(*GIVEN, "seed=9", f"hydra.run.dir={folder}", cwd=tmp_path)
    assert refused.returncode == 2 and content(folder) == before
    assert "another configuration (seed: 8, not 9" in refused.stderr
    assert "name another folder, or say fresh=true" in refused.stderr


def test_fresh_takes_the_folder_of_another_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(cfg: DictConfig, folder: Path, *_others: object) -> None:
        finish(folder, {"seed": cfg.seed})

    monkeypatch.setattr(pipeline, "run", run)
    assert complete(checked_config([*GIVEN, "seed=9", "fresh=true"]), folder_of(tmp_path, seed=8)) == {
        "seed": 9
    }


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_jobs_of_a_sweep_in_one_folder_are_refused(
    launcher: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(finished_run(tmp_path, 0), seed=8)
    where = [f"hydra.sweep.dir={tmp_path}", f"hydra.sweep.subdir={folder.name}", f"hydra/launcher={launcher}"]
    monkeypatch.setattr("acenas.run.commands.run.headline", str)
    swept = acenas_here("-m", *GIVEN, "seed=8,9", *where, cwd=tmp_path)
    if launcher == "joblib":
        assert swept.returncode == 2 and "several jobs of the sweep are given the folder" in swept.stderr
        return
    *_, first, second, last = swept.stdout.splitlines()
    assert swept.returncode == 1 and last.startswith("1 of 2 jobs done")
    assert first.startswith("done ") and second.startswith("failed ") and "(seed: 8, not 9" in second


def test_a_folder_that_is_removed_under_its_run_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(FolderRemovedError, match="was removed while"), only_process(folder):
        shutil.rmtree(folder)
        finish(folder, {"seed": 1})
    assert not (folder / runs.SUMMARY).exists()
    with pytest.raises(FolderRemovedError) as raised, only_process(folder):
        shutil.rmtree(folder)
        raise FileNotFoundError("metrics.csv")  # what comes of it
    assert isinstance(raised.value.__cause__, FileNotFoundError)


def test_the_status_of_a_run_notices_that_its_folder_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(FolderRemovedError), only_process(folder):
        status = RunStatus(folder)
        status.tell(now=True, stage="search")
        shutil.rmtree(folder)
        status.tell(done=1)
    assert not folder.exists()


def test_what_a_run_wrote_after_its_folder_was_removed_goes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(_: DictConfig, folder: Path, *_others: object) -> None:
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / "scores.parquet").touch()

    monkeypatch.setattr(pipeline, "run", run)
    with pytest.raises(UserError, match="the same command starts again"):
        complete(checked_config(GIVEN), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_another_process_has_made_again_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(_: DictConfig, folder: Path, *_others: object) -> None:
        shutil.rmtree(folder)
        folder_of(folder, seed=0)
        finish(folder, {"seed": 1})

    monkeypatch.setattr(pipeline, "run", run)
    with pytest.raises(FolderRemovedError):
        complete(checked_config(GIVEN), tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [runs.LOCK, runs.CONFIG]
