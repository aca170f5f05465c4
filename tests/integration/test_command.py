"""The command as a user runs it: what it leaves behind, what it says, what it survives."""

import contextlib
import json
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from acenas import __version__
from acenas.report.identity import read_identity
from acenas.run.config import conf_dir
from acenas.tables import BenchmarkTable, find_table
from tests.integration.conftest import Command, command, environment, result, run_folders, summary
from tests.report.live.wandb_offline import offline_folders, read_offline_run
from tests.shortcuts import acenas_here, without_figures

DEBUG = "experiment=debug"


def wandb_history(folder: Path) -> list[dict[str, Any]]:
    """What the one offline W&B run in `folder` logged."""
    (offline,) = offline_folders(folder)
    return read_offline_run(offline).history


@pytest.fixture(scope="module")
def finished(acenas: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a debug run that was never interrupted."""
    cwd = tmp_path_factory.mktemp("finished")
    done = acenas(DEBUG, cwd=cwd)
    assert done.returncode == 0, done.stderr
    (folder,) = run_folders(cwd / "outputs")
    return folder


def test_a_run_leaves_everything_in_its_folder(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    expected = {
        "config.yaml", "metrics.csv", "observations.parquet", "scores.parquet", "summary.json", "report.html",
        "report.png", "wandb",
    }  # fmt: skip
    assert expected <= names
    assert not list(finished.rglob("*.tmp")), "a temporary file was left"


def test_a_run_knows_what_it_is_called_and_how_it_came_about(finished: Path) -> None:
    found = read_identity(finished)
    assert found is not None
    assert (found.method, found.task, found.seed) == ("debug", "nb201_digits digits", 0)
    assert found.command == "python -m acenas experiment=debug" and found.version == __version__
    page = (finished / "report.html").read_text()
    assert "<h1>debug on nb201_digits digits</h1>" in page and found.command in page
    (offline,) = offline_folders(finished)
    run = read_offline_run(offline)
    assert (run.name, run.group) == ("debug on nb201_digits digits, seed 0", "debug on nb201_digits digits")
    assert run.notes == f"{found.command}\n{found.code}"
    summary_of = summary(finished)
    expected = {f"report/{name}": value for name, value in summary_of["metrics"].items()}
    expected |= {
        "report/returned": summary_of["returned"]["arch"],
        "report/test_accuracy": summary_of["returned"]["test_accuracy"],
        "report/test_regret": summary_of["regret"],
    }
    assert {name: run.summary[name] for name in expected} == pytest.approx(expected)
    assert {"report/returned_picture", "report/page"} <= {name.partition("/_type")[0] for name in run.summary}
    told = {"method": "debug", "task": found.task, "version": __version__, "commit": found.commit}
    assert run.config.items() >= {**told, "hash": finished.name}.items()


def test_the_summary_adds_up(finished: Path) -> None:
    found = summary(finished)
    observations = pd.read_parquet(finished / "observations.parquet")
    assert found["trained"] == len(observations) == 12
    best = observations.sort_values("observed_accuracy", kind="stable", ascending=False).iloc[0]
    assert found["returned"]["arch"] == best["arch"]
    assert found["returned"]["observed_accuracy"] == best["observed_accuracy"]
    assert found["regret"] == pytest.approx(
        found["best_known"]["test_accuracy"] - found["returned"]["test_accuracy"]
    )
    assert [point["trained"] for point in found["curve"]] == [4, 8, 12]
    assert found["curve"][-1]["returned_test_accuracy"] == found["returned"]["test_accuracy"]
    metrics = {f"ndcg@{k}" for k in (1, 3, 10, 30)} | {f"top{k}_test_accuracy" for k in (1, 3, 10, 30)}
    assert metrics | {"kendall", "spearman"} <= found["metrics"].keys()
    assert {"total", "pretrain", "search", "report"} <= found["seconds"].keys()


def test_the_offline_wandb_files_hold_the_metrics(finished: Path) -> None:
    history = wandb_history(finished)
    found = summary(finished)
    by_trained = {row["search/trained"]: row for row in history if "search/ndcg@10" in row}
    assert sorted(by_trained) == [0, 4, 8, 12], "pretraining is where the curve begins"
    for point in found["curve"]:
        assert by_trained[point["trained"]]["search/ndcg@10"] == pytest.approx(point["ndcg@10"])
    last = {name: value for row in history for name, value in row.items()}
    for k in (1, 3, 10, 30):
        assert last[f"search/top{k}_test_accuracy"] == pytest.approx(
            found["metrics"][f"top{k}_test_accuracy"]
        )
    assert {"pretrain/kendall", "search/observed_regret", "report/best_architectures/path"} <= last.keys()


def test_the_csv_holds_the_same_metrics(finished: Path) -> None:
    rows = pd.read_csv(finished / "metrics.csv")
    search = rows[rows["stage"] == "search"].set_index("step")
    for point in summary(finished)["curve"]:
        assert search.loc[point["trained"], "search/ndcg@10"] == pytest.approx(point["ndcg@10"])
    assert search.loc[12, "search/top10_test_accuracy"] == pytest.approx(
        summary(finished)["metrics"]["top10_test_accuracy"]
    )


def test_the_same_command_shows_a_finished_run(acenas: Command, finished: Path) -> None:
    before = (finished / "observations.parquet").stat().st_mtime_ns
    again = acenas(DEBUG, cwd=finished.parents[2])
    assert again.returncode == 0
    assert (
        str(finished.name) in again.stdout
        and f"{summary(finished)['returned']['test_accuracy']:.2f}" in again.stdout
    )
    assert (finished / "observations.parquet").stat().st_mtime_ns == before


def kill_when(there: Path, cwd: Path, *overrides: str) -> None:
    """Starts the command and kills it (SIGKILL) as soon as a file that matches `there` exists."""
    process = subprocess.Popen(
        command(*overrides), cwd=cwd, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not list(cwd.glob(str(there))):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize(
    "there",
    [
        pytest.param("outputs/*/*/pretrain/*.ckpt", id="pretrain", marks=pytest.mark.slow),
        pytest.param("outputs/*/*/observations.parquet", id="search"),
        pytest.param("outputs/*/*/report.png", id="report", marks=pytest.mark.slow),
    ],
)
def test_a_run_killed_in_any_stage_ends_as_if_it_had_not_been(
    there: str, finished: Path, tmp_path: Path
) -> None:
    kill_when(Path(there), tmp_path, DEBUG)
    assert not run_folders(tmp_path / "outputs")
    done = acenas_here(DEBUG, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = run_folders(tmp_path / "outputs")
    assert folder.name == finished.name
    assert result(folder) == result(finished)
    for name in ("observations.parquet", "scores.parquet"):
        pd.testing.assert_frame_equal(pd.read_parquet(folder / name), pd.read_parquet(finished / name))
    left, right = (pd.read_csv(f / "metrics.csv").set_index(["stage", "step"]) for f in (folder, finished))
    pd.testing.assert_frame_equal(left, right, check_like=True)


def test_a_sweep_gives_every_configuration_its_own_folder(tmp_path: Path) -> None:
    small = ("ranker.pretraining.epochs=1", "ranker.finetuning.passes=2", "logger.mode=offline")
    with without_figures():
        done = acenas_here("-m", DEBUG, "seed=0,1", "loss=lambdarank,mse", *small, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folders = run_folders(tmp_path / "outputs")
    assert len(folders) == 4
    assert len({(summary(f)["seed"], (f / "config.yaml").read_text()) for f in folders}) == 4
    for folder in folders:
        trained = [row["search/trained"] for row in wandb_history(folder) if "search/ndcg@10" in row]
        assert trained == [0, 4, 8, 12], "each job is a W&B run of its own"
    wandb_runs = [read_offline_run(offline_folders(folder)[0]) for folder in folders]
    seeds = [summary(folder)["seed"] for folder in folders]
    assert all(one.name.endswith(f"seed {seed}") for seed, one in zip(seeds, wandb_runs, strict=True))
    assert len({one.group for one in wandb_runs}) == 2, "the seeds of a configuration are one group"
    assert done.stdout.splitlines()[-1] == "4 of 4 jobs done."


@pytest.mark.slow
def test_a_job_whose_process_is_killed_is_started_again_and_takes_no_other_with_it(tmp_path: Path) -> None:
    sweep = ("-m", DEBUG, "seed=range(4)", "logger.mode=disabled", "hydra/launcher=joblib")
    with subprocess.Popen(
        command(*sweep), cwd=tmp_path, env=environment(), stdout=subprocess.PIPE
    ) as process:
        deadline = time.monotonic() + 300
        while not list(tmp_path.glob("outputs/*/*/observations.parquet")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        workers = [
            int(c) for c in children if "acenas.executors.worker" in Path(f"/proc/{c}/cmdline").read_text()
        ]
        os.kill(workers[0], signal.SIGKILL)
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert out.decode().splitlines()[-1] == "4 of 4 jobs done."
    assert len(run_folders(tmp_path / "outputs")) == 4


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_job_that_fails_does_not_take_the_others_with_it(
    launcher: str, acenas: Command, tmp_path: Path
) -> None:
    sweep = ("-m", DEBUG, "ranker.dropout=2.0,0.0", "logger.mode=disabled", f"hydra/launcher={launcher}")
    done = acenas(*sweep, cwd=tmp_path)
    assert done.returncode == 1
    *_, first, second, last = done.stdout.splitlines()
    failed, fine = sorted((first, second), reverse=True)
    assert (
        failed.startswith("failed ")
        and "dropout=2.0 must lie between 0 and 1" in failed
        and "run.log" in failed
    )
    assert fine.startswith("done ")
    assert last == "1 of 2 jobs done; the same command goes on with the others."
    assert "Traceback" not in done.stderr

    mended = acenas(*sweep[:2], "ranker.dropout=0.1,0.0", *sweep[3:], cwd=tmp_path)
    assert mended.returncode == 0
    assert mended.stdout.splitlines()[-1] == "2 of 2 jobs done."


@pytest.mark.slow
def test_a_terminal_shows_the_time_left_and_no_colours_where_none_are_wanted(tmp_path: Path) -> None:
    ours, its = pty.openpty()
    process = subprocess.Popen(
        command(DEBUG, "logger.mode=disabled"),
        cwd=tmp_path,
        env=environment() | {"NO_COLOR": "1", "TERM": "xterm", "COLUMNS": "100"},
        stdout=its,
        stderr=its,
    )
    os.close(its)
    shown = b""
    with contextlib.suppress(OSError):  # the terminal is gone when the command is
        while part := os.read(ours, 65536):
            shown += part
    os.close(ours)
    assert process.wait() == 0
    assert re.search(rb"epochs +\S+ +1/2 +\S+", shown) and re.search(
        rb"rounds .*[123]/3 +\d:\d\d:\d\d", shown
    )
    assert not re.search(rb"\x1b\[(3|4|9|10)\d", shown), "colours"
    assert shown.count(b"\x1b[?25l") == shown.count(b"\x1b[?25h") == 1, "the cursor is back"


@pytest.mark.slow
def test_a_full_disk_is_one_message_and_the_run_goes_on_when_there_is_room(
    acenas: Command, finished: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "outputs"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        full = acenas(DEBUG, cwd=tmp_path)
        assert full.returncode == 2
        assert "is full; make room" in full.stderr
        subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
        done = acenas(DEBUG, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        (folder,) = run_folders(disk)
        assert result(folder) == result(finished)
        assert len(wandb_history(folder)) == len(wandb_history(finished))
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.slow
def test_fresh_starts_again(acenas: Command, tmp_path: Path) -> None:
    overrides = [DEBUG, "weak_labels=[]", "logger.mode=disabled"]
    first = acenas(*overrides, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    (folder,) = run_folders(tmp_path / "outputs")
    before, expected = (folder / "observations.parquet").stat().st_mtime_ns, result(folder)
    assert acenas(*overrides, "fresh=true", cwd=tmp_path).returncode == 0
    assert run_folders(tmp_path / "outputs") == [folder]
    assert (folder / "observations.parquet").stat().st_mtime_ns > before
    assert result(folder) == expected, "same seed, same machine, same result"
    assert not (folder / "wandb").exists()


MISTAKES = {
    "search.bugdet=5": ["no key search.bugdet (did you mean search.budget?)"],
    "budget=5": ["no key budget (did you mean search.budget?)"],
    "rankr=gp": ["no key rankr (did you mean ranker?)"],
    "loss=lambdarnk": ["no loss=lambdarnk (did you mean lambdarank?); choose approxndcg"],
    "experiment=nb201": ["no experiment=nb201 (did you mean nb201_ltr?)"],
    "search.budget=many": ["search.budget=many is not a whole number", "search.budget=12"],
    "search.budget=3": ["search.budget=3 must be larger than search.num_final=4"],
    "seed=-1": ["seed=-1 is below zero"],
    "table=nb201": ["no table nb201", "data_dir"],
    "table=nb201 table.dataset=svhn": ["not a data set of table nb201", "cifar100"],
    "weak_labels=[weak.magic]": ["no column weak.magic", "or weak_labels=[]"],
    "data_dir=nowhere table=nb201": ["nowhere"],
    "table=none": ["evaluator needs table", "table=nb201_digits"],
    "evaluator=train judge=train": ["evaluator needs images", "images=digits"],
    "judge=train images=digits": ["judge=train tests what evaluator=train has trained"],
    "weak_labels_file=nowhere.parquet": ["weak_labels_file=nowhere.parquet: there is no such file"],
    "ranker.dropout=1.5": ["ranker.dropout=1.5 must lie between 0 and 1"],
    "ranker.pretraining.epochs=0": ["ranker.pretraining.epochs=0 must be 1 or more"],
    "search.first.spread=2": ["search.first.spread=2 must lie between 0 and 1"],
    "seed=${nothing}": ["seed=${nothing}: there is no key nothing; write the value itself"],
    "search.per_round=${search.bugdet}": ["search.per_round=${search.bugdet}: there is no key search.bugdet"],
    "output_root=${nothing}": ["output_root=${nothing}: there is no key nothing"],
    "seed=${oc.env:NOTHING_IS_SO}": ["there is no environment variable NOTHING_IS_SO"],
}
HEAVY = ("torch", "pytorch_lightning", "wandb")
MAKE_MISTAKES = """
import json, sys, time
from pathlib import Path
from tests.shortcuts import acenas_here

told = {}
for given in sys.argv[3:]:
    start = time.monotonic()
    done = acenas_here(sys.argv[2], *given.split(), cwd=Path(sys.argv[1]))
    told[given] = {"code": done.returncode, "said": done.stderr, "seconds": time.monotonic() - start}
    told[given]["imported"] = list(sys.modules)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the command says of each of `MISTAKES`, made one after the other in one process that has run nothing yet."""
    cwd = tmp_path_factory.mktemp("mistakes")
    code = [sys.executable, "-c", MAKE_MISTAKES, str(cwd), DEBUG, *MISTAKES]
    made = subprocess.run(code, env=environment(), capture_output=True, text=True, check=True)
    assert not list(cwd.glob("outputs/*/*")), "a run that never began leaves no folder"
    told: dict[str, dict[str, Any]] = json.loads(made.stdout)
    return told


@pytest.mark.parametrize("given", MISTAKES)
def test_a_mistake_is_one_message_before_any_heavy_import(
    given: str, mistakes: dict[str, dict[str, Any]]
) -> None:
    told = mistakes[given]
    assert told["code"] != 0
    assert len(told["said"].splitlines()) == 1 and told["said"].startswith("acenas: error: ")
    for message in MISTAKES[given]:
        assert message in told["said"]
    assert told["seconds"] < 3, "on a busy machine; less than 1 s on an idle one"
    assert not set(HEAVY) & set(told["imported"])


def test_a_mistake_that_only_the_parts_can_see_is_one_message_too(tmp_path: Path) -> None:
    both = [f"ranker.finetuning.{each}=true" for each in ("fresh_head", "start_from_label")]
    done = acenas_here(DEBUG, *both, "logger.mode=disabled", cwd=tmp_path)
    assert done.returncode == 2
    assert "choose one of fresh_head and start_from_label" in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.glob("outputs/*/*"))


COMMON = {
    "a wrong key": ("search.bugdet=5", "did you mean search.budget?"),
    "a wrong group": ("rankr=gp", "did you mean ranker?"),
    "a wrong experiment": ("experiment=nb201", "did you mean nb201_ltr?"),
    "a value out of range": ("ranker.dropout=1.5", "must lie between 0 and 1"),
    "a value for another one that is not there": ("seed=${nothing}", "write the value itself"),
    "a missing file": ("search.given=last_month.csv", "search.given=last_month.csv: there is no such file"),
    "another type": ("search.budget=many", "is not a whole number; the default is search.budget=100"),
    "an unknown table": ("table=nb201", "set data_dir or the environment variable ACENAS_DATA"),
    "no architecture": ("experiment=final arch=|conv~0|", "expected the form |op~0|+|op~0|op~1|"),
    "a bad budget": ("search.budget=0", "search.budget=0"),
}


@pytest.mark.slow
@pytest.mark.parametrize("mistake", COMMON)
def test_a_common_mistake_is_one_line_that_names_the_remedy_within_two_seconds(
    mistake: str, tmp_path: Path
) -> None:
    given, remedy = COMMON[mistake]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run(
        command(*given.split()), cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    assert done.returncode == 2 and done.stderr.startswith("acenas: error: ")
    assert len(done.stderr.splitlines()) == 1 and remedy in done.stderr
    assert seconds < 2, "of the processor: those of the clock are not this process's alone"
    assert not list(tmp_path.glob("outputs/*/*"))


@pytest.mark.slow
def test_who_asks_for_errors_in_place_of_warnings_gets_none(acenas: Command, tmp_path: Path) -> None:
    code = "import sys; from acenas.run.commands.run import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, DEBUG],
        cwd=tmp_path, env=environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and done.stderr == ""


def test_help_is_a_screen_that_names_experiments_and_keys(acenas: Command, tmp_path: Path) -> None:
    shown = acenas("--help", cwd=tmp_path).stdout
    lines = shown.strip("\n").splitlines()
    assert len(lines) <= 40 and max(map(len, lines)) <= 84
    for words in ("experiment=nb201_ltr", "search.budget", "--help-all", "acenas.status"):
        assert words in shown
    experiments = {path.stem for path in (Path(conf_dir()) / "experiment").glob("*.yaml")}
    named = set(re.findall(r"[a-z0-9_]+", shown)) & experiments
    assert len(named) >= 10
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_help_all_explains_the_groups(acenas: Command, tmp_path: Path) -> None:
    shown = acenas("--help-all", cwd=tmp_path).stdout
    for words in (
        "python -m acenas experiment=nb201_ltr",
        "ranker ",
        "lambdarank",
        "what can be built",
        "budget: 100",
    ):
        assert words in shown
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_embedded_benchmark_can_be_measured_again(acenas: Command, tmp_path: Path) -> None:
    overrides = ["experiment=measure_nb201_digits", "measurement.limit=2", "measurement.jobs=1"]
    done = acenas(*overrides, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("outputs/measure_nb201_digits/*/nb201_digits.parquet")
    again = pd.read_parquet(file).set_index("arch")
    embedded = BenchmarkTable.open(find_table("nb201_digits"))
    shipped = embedded.lookup(list(again.index), "digits.test.10")
    # Another processor rounds differently, and training carries that on: the cells must agree, not their last digit.
    assert again["digits.test.10"].to_numpy() == pytest.approx(shipped, abs=5.0)
    assert summary(file.parent)["measured"].endswith("nb201_digits.parquet"), "it is done, as other runs are"
    shown = acenas(*overrides, cwd=tmp_path)
    assert shown.returncode == 0 and f"Measured: {summary(file.parent)['measured']}" in shown.stdout
