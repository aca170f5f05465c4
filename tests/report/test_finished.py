"""Which runs are compared, and what they are called."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acenas.errors import UserError
from acenas.report import runs
from acenas.report.finished import method_names, read_runs, results_of
from acenas.report.identity import Identity
from acenas.run.folder import finish
from tests.report.runs import LOSS, finished_run


def names(root: Path, *group_by: str) -> dict[int, str]:
    found, _ = read_runs([root])
    return {run.summary["seed"]: name for run, name in zip(found, method_names(found, group_by), strict=True)}


def test_methods_are_named_by_what_was_asked_of_them_and_not_of_all(tmp_path: Path) -> None:
    for number, loss in enumerate(["mse", "mse", "ranknet", None]):
        given = ["experiment=demo", *([f"loss={loss}"] if loss else [])]
        finished_run(tmp_path, number, given, loss=loss or "lambdarank")
    assert names(tmp_path) == {0: "loss=mse", 1: "loss=mse", 2: "loss=ranknet", 3: "default"}


def test_one_configuration_has_one_name_however_it_was_written(tmp_path: Path) -> None:
    finished_run(tmp_path, 0, ["loss=lambdarank"], loss="lambdarank")
    finished_run(tmp_path, 1, [], loss="lambdarank")
    assert len(set(names(tmp_path).values())) == 1


def test_runs_whose_overrides_do_not_tell_them_apart_are_named_by_values(tmp_path: Path) -> None:
    for number, budget in enumerate([20, 20, 50]):
        finished_run(tmp_path, number, [], search={"budget": budget})
    assert names(tmp_path) == {0: "search.budget=20", 1: "search.budget=20", 2: "search.budget=50"}


def test_keys_of_ones_own_group_whatever_else_differs(tmp_path: Path) -> None:
    for number in range(4):
        finished_run(tmp_path, number, loss="mse" if number % 2 else "hinge", search={"budget": number})
    assert names(tmp_path, "loss") == {0: "loss=hinge", 1: "loss=mse", 2: "loss=hinge", 3: "loss=mse"}
    with pytest.raises(UserError, match="no run has a key los;"):
        names(tmp_path, "los")


def of_benchmark(root: Path, number: int, method: str, task: str = "digits", **config: Any) -> Path:
    folder = finished_run(root, number, [f"k{number}=1", "logger.mode=disabled"], **config)
    Identity(method, task, number, benchmark=True).write(folder)
    return folder


def test_runs_of_a_benchmark_have_its_names_and_do_not_mix_with_ones_own(tmp_path: Path) -> None:
    own = finished_run(tmp_path, 0, ["loss=mse"], loss="mse")
    for number, method in enumerate(["ace", "random", "random"], 1):
        of_benchmark(
            tmp_path, number, method, f"digits_{method}", search={"budget": 10 * number, "of": method}
        )
    found, left_out = read_runs([tmp_path])
    assert [run.folder for run in found] == [own]
    assert left_out == {tmp_path: "3 runs of benchmarks, compared with --benchmark"}
    found, left_out = read_runs([tmp_path], benchmarks=True)
    assert method_names(found) == ["ace", "random", "random"], "whatever the budget"
    assert {run.task for run in found} == {"digits_ace", "digits_random"} and list(left_out) == [tmp_path]
    shutil.rmtree(own)
    found, left_out = read_runs([tmp_path])
    assert len(found) == 3 and not left_out


def test_methods_of_one_name_are_told_apart_by_what_differs_among_them_alone(tmp_path: Path) -> None:
    many = {f"key{number}": number for number in range(50)}
    of_benchmark(tmp_path, 1, "ace", search={"budget": 20, "best": 0.6})
    of_benchmark(tmp_path, 2, "ace", search={"budget": 30, "best": 0.7})
    of_benchmark(tmp_path, 3, "forest", search={"budget": 20, **many}, trees=many)
    found, _ = read_runs([tmp_path])
    assert method_names(found) == ["ace, search.best=0.6", "ace, search.best=0.7", "forest"]


def test_tables_tell_tasks_apart_and_not_methods(tmp_path: Path) -> None:
    for number in range(4):
        given = [f"table.dataset=d{number // 2}", f"loss={number % 2}"]
        folder = finished_run(tmp_path, number, given, loss=number % 2, table={"dataset": f"d{number // 2}"})
        summary = json.loads((folder / runs.SUMMARY).read_text()) | {"dataset": f"d{number // 2}"}
        (folder / runs.SUMMARY).write_text(json.dumps(summary))
    assert names(tmp_path) == {0: "loss=0", 1: "loss=1", 2: "loss=0", 3: "loss=1"}


def test_results_have_a_row_for_each_round(tmp_path: Path) -> None:
    finished_run(tmp_path, 1)
    found, _ = read_runs([tmp_path])
    frame = results_of(found, ["m"])
    assert frame["trained"].to_list() == [10, 20]
    assert frame["serves"].to_list() == [False, True]
    assert frame["value"].to_list() == [91.0, 92.0]
    assert frame["regret"].to_list() == [8.0, 7.0]
    assert frame["ndcg@10"].isna().to_list() == [True, False]


def test_runs_with_other_objectives_and_unjudged_ones_are_tasks_of_their_own(tmp_path: Path) -> None:
    finished_run(tmp_path, 0)
    finished_run(tmp_path, 1, judged=False)
    finished_run(tmp_path, 2, objective=LOSS, judged=False)
    finished_run(tmp_path, 3, objective=LOSS)
    found, _ = read_runs([tmp_path])
    frame = results_of(found, ["m"] * 4)
    assert set(frame["task"]) == {
        "nb201 cifar10, test accuracy (%)",
        "nb201 cifar10, observed accuracy (%)",
        "nb201 cifar10, test val_loss (nats)",
        "nb201 cifar10, observed val_loss (nats)",
    }
    ends = frame[frame["serves"]].set_index("seed")
    assert ends["value"].to_dict() == {seed: 91.0 + seed for seed in range(4)}
    # The best known is 99 in each: a loss of 94 is better by 5, and what nobody judged has no regret.
    assert ends["regret"].to_dict() == pytest.approx({0: 8, 1: np.nan, 2: np.nan, 3: -5}, nan_ok=True)


def test_what_cannot_be_compared_is_named_and_the_rest_is(tmp_path: Path) -> None:
    good = finished_run(tmp_path, 0)
    (damaged := finished_run(tmp_path, 1)).joinpath(runs.SUMMARY).write_text('{"returned": ')
    (unfinished := finished_run(tmp_path, 2)).joinpath(runs.SUMMARY).unlink()
    finish(other := finished_run(tmp_path, 3), {"experiment": "nb201_supernet"})
    found, left_out = read_runs([tmp_path])
    assert [run.folder for run in found] == [good]
    assert "summary.json is damaged" in left_out[damaged]
    assert left_out[unfinished] == "not finished"
    assert left_out[other].startswith("no search")
    with pytest.raises(UserError, match=r"no finished search in .*; python"):
        read_runs([unfinished])
    with pytest.raises(UserError, match=r"no finished search in .*summary.json is damaged"):
        read_runs([unfinished, damaged])
    with pytest.raises(UserError, match="no folder"):
        read_runs([tmp_path / "nowhere"])


@pytest.mark.parametrize(
    "change",
    [
        {"returned": {}},
        {"returned": None},
        {"seed": "1"},
        {"curve": [{"trained": 10}]},
        {"best_known": []},
        {"objective": {"name": "loss", "unit": "", "direction": "min"}},
        {"table": 3},
    ],
)
@pytest.mark.parametrize("config", [None, "[]", "a: &a\n  b: *a"])
def test_a_summary_of_other_types_hides_no_other(
    tmp_path: Path, change: dict[str, object], config: str | None
) -> None:
    good, odd = finished_run(tmp_path, 0), finished_run(tmp_path, 1)
    summary = json.loads((odd / runs.SUMMARY).read_text())
    if config is None:
        summary |= change
    else:
        (odd / "config.yaml").write_text(config)
    (odd / runs.SUMMARY).write_text(json.dumps(summary))
    found, left_out = read_runs([tmp_path])
    assert [run.folder for run in found] == [good] and list(left_out) == [odd]


def test_a_run_below_several_folders_is_read_once(tmp_path: Path) -> None:
    good = finished_run(tmp_path / "runs", 0)
    found, _ = read_runs([tmp_path, good.parent, good / ".." / good.name])
    assert [run.folder for run in found] == [good]


def test_where_trainings_ran_makes_no_other_method(tmp_path: Path) -> None:
    for number, executor in enumerate(["LocalProcesses", "Slurm"]):
        given = ["evaluator/executor=slurm", "evaluator.executor.retries=3"] if number else []
        evaluator = {"executor": {"_target_": f"acenas.executors.{executor}"}}
        finished_run(tmp_path, number, given, evaluator=evaluator)
    assert names(tmp_path) == {0: "default", 1: "default"}
