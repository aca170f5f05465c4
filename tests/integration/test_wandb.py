"""What W&B shows of two methods by three seeds, without hand work: decoded from the files of offline runs."""

import json
from pathlib import Path

import pytest

from tests.integration.conftest import Command, run_folders, summary
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
