import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import wandb
from matplotlib.figure import Figure
from pytorch_lightning.loggers import Logger

from acenas.report.figures import figure_bytes
from acenas.report.live.artifacts import artifact_name, artifacts_of_run, log_artifacts
from acenas.report.live.loggers import CSVMetrics, SafeWandbLogger, run_loggers
from acenas.report.live.metrics import RankingMetrics
from acenas.report.live.tables import log_table
from tests.report.live.example import ARCHS, KNOWN, round_result
from tests.report.live.wandb_offline import offline_folders, read_offline_run


def test_rows_are_merged_by_stage_and_step(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    logger = CSVMetrics(path)
    logger.log_metrics({"pretrain/loss": 0.5, "epoch": 0}, step=10)
    logger.log_metrics({"search/observed_regret": 1.25}, step=10)
    logger.log_metrics({"pretrain/kendall": 0.4})
    CSVMetrics(path).log_metrics({"search/observed_regret": 1.0, "search/top10_test_accuracy": 93.5}, step=10)
    assert path.read_text().splitlines() == [
        "stage,step,pretrain/loss,pretrain/epoch,search/observed_regret,pretrain/kendall,search/top10_test_accuracy",
        "pretrain,10,0.5,0.0,,,",
        "search,10,,,1.0,,93.5",
        "pretrain,,,,,0.4,",
    ]


def test_a_torn_line_is_dropped_and_the_rest_kept(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    logger = CSVMetrics(path)
    for step in range(3):
        logger.log_metrics({"search/observed_regret": step / 3}, step)
    path.write_text(path.read_text()[:-4])
    again = CSVMetrics(path)
    assert pd.read_csv(path)["step"].tolist() == [0, 1]
    again.log_metrics({"search/observed_regret": 2 / 3}, step=2)
    assert pd.read_csv(path)["search/observed_regret"].tolist() == [0.0, 1 / 3, 2 / 3]


def test_a_killed_run_without_wandb_loses_no_finished_call(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    writer = textwrap.dedent("""
        import sys
        from acenas.report.live import metrics, tables, terminal
        from acenas.report.live.loggers import run_loggers
        with run_loggers(sys.argv[1], mode="disabled") as (logger,):
            for step in range(10**6):
                logger.log_metrics({"search/observed_regret": float(step), f"search/new{step % 7}": 1.0}, step)
                assert "wandb" not in sys.modules
                print(step, flush=True)
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", writer, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(200):
        written = int(process.stdout.readline())
    process.kill()
    written = max([written, *(int(line) for line in process.stdout.read().split())])
    process.wait()
    process.stdout.close()
    assert not (tmp_path / "wandb").exists()
    CSVMetrics(path).log_metrics({"search/observed_regret": -1.0}, step=0)
    frame = pd.read_csv(path)
    assert frame["step"].is_unique
    assert set(range(written + 1)) <= set(frame["step"])
    assert frame["search/observed_regret"].tolist() == [-1.0, *(float(step) for step in frame["step"][1:])]


def test_an_interrupted_offline_run_goes_on_as_the_same_run(tmp_path: Path) -> None:
    def search(first: int, last: int, fail: bool = False) -> None:
        with run_loggers(
            tmp_path, group="nb201-abc", job_type="search", name="seed 0", tags=["test"], config={"seed": 0}
        ) as loggers:
            callback = RankingMetrics(ARCHS, KNOWN, loggers)
            for round_ in range(first, last + 1):
                callback.on_round_end(round_result(round_))
            if fail:
                raise KeyboardInterrupt
            for logger in loggers:  # as the report does after the search
                logger.log_metrics(
                    {"search/trained": 6, "search/observed_regret": 1.0, "search/top10_test_accuracy": 93.5},
                    step=6,
                )
            pictures = [figure_bytes(Figure(figsize=(1, width)), "png") for width in (1, 2)]
            best = pd.DataFrame({"arch": ["arch3", "arch5"], "test_accuracy": [94.5, 93.5]})
            log_table(loggers, "report/best_architectures", best, pictures)

    with pytest.raises(KeyboardInterrupt):
        search(0, 2, fail=True)
    (first_folder,) = offline_folders(tmp_path)
    interrupted = read_offline_run(first_folder)
    assert interrupted.exit_code == 1

    search(2, 3)  # the kill came before round 2 was saved, so it is done again
    (folder,) = offline_folders(tmp_path)
    run = read_offline_run(folder)
    assert folder != first_folder
    assert run.run_id == interrupted.run_id == (tmp_path / "wandb_id.txt").read_text()
    assert (run.project, run.group, run.job_type) == ("acenas", "nb201-abc", "search")
    assert (run.name, run.tags, run.config["seed"]) == ("seed 0", ["test"], 0)
    assert run.exit_code == 0
    assert run.values("search/trained") == [0, 2, 4, 6, 6]
    assert run.values("search/top10_test_accuracy") == [93.5]
    assert run.values("search/observed_regret") == pytest.approx([4.0, 3.0, 1.0])
    assert len(run.values("search/ndcg@10")) == 4, "what pretraining reaches is on the same axis"
    assert run.values("search/ndcg@10")[0] == run.values("pretrain/ndcg@10")[0]
    assert len(run.values("pretrain/kendall")) == 1
    assert run.defined["search/*"] == "search/trained"
    assert run.defined["pretrain/*"] == "pretrain/epoch"
    assert {name.split("/")[0] for name in run.defined} == {"search", "pretrain"}, (
        "nothing that is not logged"
    )
    assert run.summary["search/observed_regret"] == {"min": pytest.approx(1.0), "last": pytest.approx(1.0)}
    assert run.values("report/best_architectures/nrows") == [2]
    staged = [file.read_bytes() for file in (tmp_path / "wandb" / "artifacts" / "staging").iterdir()]
    assert sum(content.startswith(b"\x89PNG") for content in staged) == 2
    table = json.loads(next(content for content in staged if content.startswith(b"{")))
    assert table["columns"] == ["arch", "test_accuracy", "picture"]
    assert [row[:2] for row in table["data"]] == [["arch3", 94.5], ["arch5", 93.5]]
    assert {row[2]["_type"] for row in table["data"]} == {"image-file"}
    assert len(pd.read_csv(tmp_path / "metrics.csv")) == 5


def test_two_runs_in_one_process_stay_apart(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with run_loggers(tmp_path / name, group=name) as loggers:
            for logger in loggers:
                logger.log_metrics({"search/observed_regret": 1.0, "search/trained": len(name)}, step=1)
    runs = [read_offline_run(offline_folders(tmp_path / name)[0]) for name in ("a", "b")]
    assert runs[0].run_id != runs[1].run_id
    assert [run.group for run in runs] == ["a", "b"]
    assert [run.values("search/observed_regret") for run in runs] == [[1], [1]]


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("acenas") and record.levelno >= logging.WARNING
    ]


def test_a_broken_wandb_costs_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise OSError("no space left")

    with run_loggers(tmp_path / "later") as loggers:
        assert isinstance(loggers[1], SafeWandbLogger)
        monkeypatch.setattr(loggers[1].experiment, "log", broken)
        for step in range(3):
            for logger in loggers:
                logger.log_metrics({"search/observed_regret": 1.0}, step)
    assert len(warnings_of(caplog)) == 1
    assert "no space left" in caplog.text
    assert len(pd.read_csv(tmp_path / "later" / "metrics.csv")) == 3

    caplog.clear()
    monkeypatch.setattr(wandb, "init", broken)
    with run_loggers(tmp_path / "first") as loggers:
        assert len(loggers) == 1
    assert len(warnings_of(caplog)) == 1


def test_online_without_a_server_goes_on_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real_init = wandb.init

    def init(**options: Any) -> Any:
        if options["mode"] == "online":
            raise wandb.errors.CommError("no answer")
        return real_init(**options)

    monkeypatch.setattr(wandb, "init", init)
    with run_loggers(tmp_path, mode="online") as loggers:
        for logger in loggers:
            logger.log_metrics({"search/observed_regret": 1.0}, step=1)
    assert len(warnings_of(caplog)) == 1
    assert "Going on offline" in caplog.text
    assert read_offline_run(offline_folders(tmp_path)[0]).values("search/observed_regret") == [1]


def test_online_tells_where_the_run_is_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    real_init, address = wandb.init, "https://wandb.example/me/acenas/runs/1"
    monkeypatch.setattr(wandb, "init", lambda **options: real_init(**options | {"mode": "offline"}))
    monkeypatch.setattr(wandb.Run, "url", address)
    monkeypatch.setattr(wandb.Run, "offline", False)
    with run_loggers(tmp_path, mode="online") as loggers:
        log(loggers, range(2))
    told = capfd.readouterr()
    assert told.out == f"W&B: {address}\nSending the rest to W&B.\n" and told.err == ""


def kill_the_service() -> None:
    """Ends W&B's own process, as the kernel does where memory is short."""
    mine = [
        int(status.parent.name)
        for status in Path("/proc").glob("[0-9]*/status")
        if f"PPid:\t{os.getpid()}\n" in status.read_text() and "Name:\twandb-core\n" in status.read_text()
    ]
    assert mine
    for process in mine:
        os.kill(process, signal.SIGKILL)
    time.sleep(0.2)


def log(loggers: Sequence[Logger], steps: Iterable[int]) -> None:
    for step in steps:
        for logger in loggers:
            logger.log_metrics({"search/observed_regret": float(step), "search/trained": step}, step)


def test_a_dead_service_loses_nothing_and_the_next_run_has_one_of_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with run_loggers(tmp_path / "first", group="a", config={"seed": 0}) as loggers:
        log(loggers, range(3))
        kill_the_service()
        log(loggers, range(3, 6))
    (warning,) = warnings_of(caplog)
    assert "is left out from here on" in warning
    (folder,) = offline_folders(tmp_path / "first")
    again = read_offline_run(folder)  # made again from metrics.csv when the run ended
    assert again.run_id == (tmp_path / "first" / "wandb_id.txt").read_text()
    assert (again.group, again.config["seed"], again.exit_code) == ("a", 0, 0)
    assert again.values("search/trained") == list(range(6))
    with run_loggers(tmp_path / "second") as loggers:
        log(loggers, range(2))
    assert read_offline_run(offline_folders(tmp_path / "second")[0]).values("search/trained") == [0, 1]
    assert len(warnings_of(caplog)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("key", ["", "0" * 40], ids=["no key", "no network"])
def test_online_without_a_key_or_a_network_goes_on_offline(key: str, tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import sys
        from acenas.report.live.loggers import run_loggers
        with run_loggers(sys.argv[1], mode="online", group="g") as loggers:
            for logger in loggers:
                logger.log_metrics({"search/observed_regret": 1.0, "search/trained": 7}, 7)
    """)
    # Port 9 of this machine answers to nobody.
    env = {**os.environ, "HOME": str(tmp_path), "WANDB_API_KEY": key, "WANDB_BASE_URL": "http://127.0.0.1:9"}
    command = [sys.executable, "-c", script, str(tmp_path / "run")]
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=150, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    assert "Going on offline" in done.stderr and "Traceback" not in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    (folder,) = offline_folders(tmp_path / "run")
    run = read_offline_run(folder)
    assert (run.group, run.values("search/observed_regret"), run.exit_code) == ("g", [1], 0)


@pytest.mark.slow
def test_a_full_disk_stops_wandb_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "wandb").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path / "wandb")]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        with run_loggers(tmp_path) as loggers:
            log(loggers, range(3000))
    finally:
        wandb.teardown()
        subprocess.run(["umount", "--lazy", str(tmp_path / "wandb")], check=True)
    assert len(pd.read_csv(tmp_path / "metrics.csv")) == 3000
    assert "is full" in warnings_of(caplog)[-1]


def test_a_csv_of_an_earlier_version_goes_on_under_the_names_of_today(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("stage,step,search/regret\nsearch,4,1.5\n")
    CSVMetrics(path).log_metrics({"search/observed_regret": 0.5}, step=8)
    assert path.read_text().splitlines() == [
        "stage,step,search/observed_regret",
        "search,4,1.5",
        "search,8,0.5",
    ]


def test_wandb_mode_disabled_means_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with run_loggers(tmp_path, mode="online") as loggers:
        log(loggers, range(2))
    assert [type(logger) for logger in loggers] == [CSVMetrics]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


def test_what_was_made_and_from_what_is_recorded(tmp_path: Path) -> None:
    run, other = tmp_path / "run", tmp_path / "other" / "weak_labels.parquet"
    for file in (run / "pretrain" / "ranker.pt", run / "report.html", other):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(file.name)
    with run_loggers(run) as loggers:
        log_artifacts(loggers, artifacts_of_run(run), [("weak_labels", [other])])
    read = read_offline_run(offline_folders(run)[0])
    labels = artifact_name("weak_labels", [other])
    (ranker, report) = read.artifacts.values()
    assert (ranker.type, json.loads(ranker.metadata)) == ("ranker", {"made_from": [labels]})
    assert (report.type, json.loads(report.metadata)) == ("report", {"made_from": [ranker.name]})
    assert [entry.path for entry in report.manifest.contents] == ["report.html"]
    assert read.config["uses"] == [labels]
    copy = tmp_path / "copy.parquet"
    copy.write_bytes(other.read_bytes())
    assert artifact_name("weak_labels", [copy]) == labels, "a copy has the same name"
    assert not list((run / "wandb").glob("artifacts/staging/*")), "nothing is copied"


def test_the_environment_is_left_as_it_was(tmp_path: Path) -> None:
    before = dict(os.environ)
    with run_loggers(tmp_path):
        pass
    changed = {name for name in os.environ if before.get(name) != os.environ[name]}
    assert changed <= {"WANDB_ERROR_REPORTING", "WANDB_SERVICE"}
