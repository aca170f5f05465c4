"""A benchmark of real runs: what it runs, that it adds up, resumes, and survives a run that fails."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from acenas.errors import UserError
from acenas.executors import LocalProcesses, Lost
from acenas.run.benchmark.grid import Benchmark
from acenas.run.commands.benchmark import check, main
from acenas.run.config import conf_dir
from tests.shortcuts import in_this_process, without_figures

TASK = ["experiment=nb201_ltr", "logger.mode=disabled"]
QUIET = Console(quiet=True)


def benchmark(folder: Path, budgets: tuple[int, ...] = (6, 9), **methods: list[str]) -> Benchmark:
    common = [f"output_root={folder}"]
    return Benchmark(methods, {"digits": TASK}, budgets, [7], common, conf_dir(), jobs=1)


RANDOM = ["search=random", "search.per_round=3"]
RANDOM_AT_LAST = ["search=random", "search.per_round=3", "search.num_final=3"]


@pytest.fixture
def quick() -> Iterator[None]:
    with without_figures(), in_this_process():
        yield


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("benchmark")
    with without_figures(), in_this_process():
        results, failed = benchmark(folder, once=RANDOM, each=RANDOM_AT_LAST).run(QUIET)
    assert not failed
    return folder, results


def test_results_are_those_of_the_runs_themselves(found: tuple[Path, pd.DataFrame]) -> None:
    _, results = found
    for (folder, budget), rows in results.groupby(["folder", "budget"]):
        summary = json.loads((Path(str(folder)) / "summary.json").read_text())
        assert summary["trained"] == budget == len(rows)
        last = rows.iloc[-1]
        assert last["arch"] == summary["returned"]["arch"]
        assert last["test_accuracy"] == summary["returned"]["test_accuracy"]
        assert last["regret"] == pytest.approx(summary["regret"])
        assert last["cpu_seconds"] == summary["cpu_seconds"]["total"] > 0
        told = {point["trained"]: point["returned_test_accuracy"] for point in summary["curve"]}
        assert rows.set_index("trained")["test_accuracy"].loc[list(told)].to_dict() == told


@pytest.mark.usefixtures("quick")
def test_an_anytime_search_runs_once_and_finds_what_smaller_budgets_find(
    found: tuple[Path, pd.DataFrame],
) -> None:
    folder, results = found
    once = results[results["method"] == "once"]
    assert set(once["budget"]) == {9} and set(once[once["serves"]]["trained"]) == {6, 9}
    assert set(results[results["method"] == "each"]["budget"]) == {6, 9}
    small, _ = benchmark(folder, budgets=(6,), once=RANDOM).run(QUIET)
    both = once[once["trained"] <= 6].merge(small, on=["seed", "trained"])
    assert len(both) == 6 and (both["arch_x"] == both["arch_y"]).all()


def test_what_is_done_is_not_done_again(
    found: tuple[Path, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, results = found
    monkeypatch.setattr("acenas.run.benchmark.grid._attempt", None)  # which no process can call
    again, failed = benchmark(folder, once=RANDOM, each=RANDOM_AT_LAST).run(QUIET)
    assert not failed
    pd.testing.assert_frame_equal(again, results)


@pytest.mark.usefixtures("quick")
def test_a_run_that_fails_does_not_take_the_others_along(found: tuple[Path, pd.DataFrame]) -> None:
    folder, results = found
    one = benchmark(folder, once=RANDOM, broken=["ranker.dropout=2"])
    again, failed = one.run(QUIET)
    assert {job.method for job in failed} == {"broken"} and len(failed) == 1
    assert all("dropout lies between 0 and 1" in reason for reason in failed.values())
    pd.testing.assert_frame_equal(again, results[results["method"] == "once"].reset_index(drop=True))


def test_a_run_whose_process_is_killed_does_not_take_the_others_along(
    found: tuple[Path, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_: LocalProcesses, work: Mapping[Path, object], *__: object) -> Iterator[tuple[Path, Lost]]:
        yield from ((name, Lost("out of memory")) for name in work)

    monkeypatch.setattr(LocalProcesses, "run", killed)
    folder, results = found
    again, failed = benchmark(folder, once=RANDOM, killed=["search=random", "search.per_round=2"]).run(QUIET)
    assert {job.method: why for job, why in failed.items()} == {"killed": "out of memory"}
    pd.testing.assert_frame_equal(again, results[results["method"] == "once"].reset_index(drop=True))


def test_the_command_writes_results_and_shows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        *("methods=[random]", "reference=random", "budgets=[4]", "seeds=1", "jobs=1"),
        f"output_root={tmp_path}",
    ]
    monkeypatch.setattr(sys, "argv", ["acenas.run.benchmark", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    out = capsys.readouterr().out
    folder = Path(out.strip().splitlines()[-1].removeprefix("Benchmark folder: "))
    assert (folder / "comparison.md").read_text().strip() in out
    assert set(pd.read_parquet(folder / "results.parquet")["method"]) == {"random"}
    assert (folder / "curves.png").stat().st_size > 10_000 and (folder / "curves.svg").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": ["nobody"]}, "methods: nobody is not defined; choose from"),
        ({"tasks": []}, "tasks is empty"),
        ({"reference": "gp"}, "reference=gp is none of the methods"),
        ({"budgets": [1]}, "budgets"),
    ],
)
def test_mistakes_are_one_message(change: dict[str, object], message: str) -> None:
    from omegaconf import OmegaConf

    cfg = OmegaConf.load(Path(conf_dir()) / "benchmark.yaml")
    cfg.methods, cfg.reference = ["random"], "random"
    cfg.merge_with(change)
    with pytest.raises(UserError, match=message):
        check(cfg)  # type: ignore[arg-type]
