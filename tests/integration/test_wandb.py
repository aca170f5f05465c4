"""What W&B shows of two methods by three seeds, without hand work: decoded from the files of offline runs."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.integration.conftest import Command, environment, run_folders, summary
from tests.report.live.wandb_offline import OfflineRun, offline_folders, read_offline_run

SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def runs(acenas: Command, tmp_path_factory: pytest.TempPathFactory) -> dict[Path, OfflineRun]:
    cwd = tmp_path_factory.mktemp("sweep")
    seeds = ",".join(map(str, SEEDS))
    done = acenas("-m", "experiment=debug", "loss=lambdarank,ranknet", f"seed={seeds}", cwd=cwd)
    assert done.returncode == 0, done.stderr
    folders = run_folders(cwd / "outputs")
    return {folder: read_offline_run(offline_folders(folder)[0]) for folder in folders}


@pytest.mark.slow
def test_names_and_groups_say_method_and_task(runs: dict[Path, OfflineRun]) -> None:
    methods = ("debug, loss=lambdarank", "debug, loss=ranknet")
    groups = {f"{method} on nb201_digits digits" for method in methods}
    assert len(runs) == 6 and {run.group for run in runs.values()} == groups
    for folder, run in runs.items():
        told = summary(folder)
        assert run.name == f"{run.group}, seed {told['seed']}" and run.job_type == "search"
        assert run.exit_code == 0 and run.config["method"] in methods
        assert f"seed={told['seed']}" in run.notes and run.notes.startswith(
            "python -m acenas experiment=debug"
        )
    for group in groups:
        assert sorted(run.config["seed"] for run in runs.values() if run.group == group) == list(SEEDS)


@pytest.mark.slow
def test_summaries_hold_what_methods_are_compared_by(runs: dict[Path, OfflineRun]) -> None:
    for folder, run in runs.items():
        told = summary(folder)
        expected = {f"report/{name}": value for name, value in told["metrics"].items()}
        expected |= {
            "report/returned": told["returned"]["arch"],
            "report/test_accuracy": told["returned"]["test_accuracy"],
            "report/test_regret": told["regret"],
            "report/trained": told["trained"],
        }
        assert {f"report/ndcg@{k}" for k in (1, 3, 10, 30)} < set(expected)
        assert {f"report/top{k}_test_accuracy" for k in (1, 3, 10, 30)} < set(expected)
        assert {name: run.summary[name] for name in expected} == expected
        assert run.summary["report/page/_type"] == "html-file"
        assert run.summary["report/returned_picture/_type"] == "image-file"


@pytest.mark.slow
def test_ndcg_begins_at_no_trainings_on_the_axis_of_the_rest(runs: dict[Path, OfflineRun]) -> None:
    for folder, run in runs.items():
        rows = [row for row in run.history if "search/ndcg@10" in row]
        trained = [row["search/trained"] for row in rows]
        assert trained[0] == 0 and trained[-1] == summary(folder)["trained"] and trained == sorted(trained)
        assert run.defined["search/*"] == "search/trained"


@pytest.mark.slow
def test_the_table_of_the_best_has_parameters_and_flops(runs: dict[Path, OfflineRun]) -> None:
    for folder, run in runs.items():
        (files,) = offline_folders(folder)
        (path,) = run.values("report/best_architectures/path")
        table = json.loads((files / "files" / path).read_text())
        assert {"arch", "params_m", "flops_m", "observed_accuracy", "test_accuracy"} < set(table["columns"])
        assert len(table["data"]) == 10 and None not in [
            row[table["columns"].index("params_m")] for row in table["data"]
        ]


@contextmanager
def service(asked: list[dict[str, Any]]) -> Iterator[str]:
    """The address of what answers as W&B's service does where a view is saved; `asked` is what it was sent."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            asked.extend([json.loads(sent)] if sent.startswith(b"{") else [])
            viewer = {"id": "1", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}
            view = {"view": {"id": "2", "name": "seen"}, "inserted": True}
            told = json.dumps({"data": {"viewer": viewer, "upsertView": view}}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_the_view_of_the_example_has_panels_of_what_runs_log(
    runs: dict[Path, OfflineRun], tmp_path: Path
) -> None:
    pytest.importorskip("wandb_workspaces", reason="needs wandb-workspaces")
    example = Path(__file__).parents[2] / "examples" / "wandb_view.py"
    asked: list[dict[str, Any]] = []
    with service(asked) as address:
        key = {"WANDB_BASE_URL": address, "WANDB_API_KEY": "0" * 40}
        command = [sys.executable, str(example), "me"]
        done = subprocess.run(command, cwd=tmp_path, env=environment() | key, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == f"{address}/me/acenas?nw=seen\n", done.stderr
    (saved,) = [each["variables"] for each in asked if "spec" in each.get("variables", {})]
    shown = json.loads(saved["spec"])["section"]
    (section,) = shown["panelBankConfig"]["sections"]
    panels = [panel["config"] for panel in section["panels"]]
    assert [panel["metrics"] for panel in panels] == [["search/returned_test_accuracy"], ["search/ndcg@10"]]
    for panel in panels:
        assert (panel["groupBy"], panel["groupAgg"], panel["groupArea"]) == ("method.value", "mean", "stderr")
    columns = [name.removeprefix("summary:") for name in shown["runSets"][0]["runFeed"]["columnOrder"][1:]]
    for run in runs.values():
        assert "method" in run.config and set(columns) <= run.summary.keys()
        for panel in panels:
            assert any({panel["xAxis"], *panel["metrics"]} <= row.keys() for row in run.history)
