"""A benchmark of real runs: what it runs, that it adds up, resumes, and survives a run that fails."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from rich.console import Console

import acenas
from acenas.errors import UserError
from acenas.executors import LocalProcesses, Lost
from acenas.report.comparison import to_markdown
from acenas.report.comparison_page import build_comparison_page
from acenas.report.identity import read_identity
from acenas.run.benchmark.grid import Benchmark
from acenas.run.commands.benchmark import check, main
from acenas.run.config import conf_dir
from acenas.tables import BenchmarkTable, TableMetadata, find_table, write_table
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
        assert last["value"] == summary["returned"]["test_accuracy"]
        assert last["regret"] == pytest.approx(summary["regret"])
        assert last["cpu_seconds"] == summary["cpu_seconds"]["total"] > 0
        told = {point["trained"]: point["returned_test_accuracy"] for point in summary["curve"]}
        assert rows.set_index("trained")["value"].loc[list(told)].to_dict() == told


def test_its_runs_know_that_they_are_of_a_benchmark(found: tuple[Path, pd.DataFrame]) -> None:
    for (folder, method), _ in found[1].groupby(["folder", "method"]):
        who = read_identity(Path(str(folder)))
        assert who is not None and (who.method, who.task, who.seed) == (method, "digits", 7)
        assert who.benchmark and "search=random" in who.command and who.command.endswith(" seed=7")


def test_searches_have_a_page_where_it_is_asked_for(tmp_path: Path) -> None:
    once = benchmark(tmp_path, budgets=(6,), once=RANDOM)
    with in_this_process():
        results, _ = once.run(QUIET)
        folder = Path(results["folder"].iloc[0])
        assert not (folder / "report.html").exists() and not list(folder.glob("*.svg"))
        before = (folder / "observations.parquet").read_bytes()
        once.pages = True
        with_pages, _ = once.run(QUIET)
    assert "<html" in (folder / "report.html").read_text() and (folder / "search_curve.svg").exists()
    assert (folder / "observations.parquet").read_bytes() == before
    of_clocks = ["cpu_seconds", "seconds"]
    pd.testing.assert_frame_equal(results.drop(columns=of_clocks), with_pages.drop(columns=of_clocks))
    for file in (folder / "summary.json", folder / "report.html"):  # a person asks for what is lost
        file.unlink()
        again = acenas.search("nb201", folder=tmp_path, seed=7, budget=6, overrides=[*TASK[1:], *RANDOM])
        assert again.folder == folder
        who = read_identity(folder)
        assert file.exists() and who is not None and who.benchmark and who.method == "once"


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
def test_losses_of_which_some_trainings_fail_and_nobody_judges(tmp_path: Path) -> None:
    digits = BenchmarkTable.open(find_table("nb201_digits"))
    losses = 250 - digits.column("digits.observed.10")  # no percentages
    losses[::3] = np.nan  # the training failed
    frame = pd.DataFrame({"arch": digits.archs, "loss.best": losses})
    write_table(frame, tmp_path / "losses.parquet", TableMetadata("nasbench201", unit="none"))
    objective = "table.objective={name: loss, unit: nats, direction: min}"
    table = [f"table.path={tmp_path}/losses.parquet", "table.space=nasbench201", "table.observed=loss.best"]
    tasks = {
        "judged": [*TASK, "table=own", *table, objective],
        "unjudged": [*TASK, "table=own", *table, objective, "judge=none"],
    }
    common = [f"output_root={tmp_path}/outputs"]
    found, failed = Benchmark({"random": RANDOM}, tasks, (9,), [7], common, conf_dir(), jobs=1).run(QUIET)
    assert not failed
    truth = frame.set_index("arch")["loss.best"]
    for task, rows in found.groupby("task"):
        # Nothing is returned before a training has worked.
        worked = rows.dropna(subset=["value"])
        assert len(worked) and (rows["value"].isna() == ~rows["arch"].isin(truth.dropna().index)).all()
        assert (
            worked["value"].to_list() == truth[worked["arch"]].to_list() == worked["observed_loss"].to_list()
        )
        assert worked["value"].is_monotonic_decreasing
        assert set(rows["kind"]) == {"test" if task == "judged" else "observed"}
        regret = worked["value"] - truth.min() if task == "judged" else worked["value"] * np.nan
        assert worked["regret"].to_numpy() == pytest.approx(regret.to_numpy(), nan_ok=True)
        folder = Path(rows["folder"].iloc[0])
        assert json.loads((folder / "summary.json").read_text())["failed"] > 0, (
            "what fails is among the candidates"
        )


@pytest.mark.usefixtures("quick")
def test_tasks_without_their_data_are_left_out_by_name_and_small_ones_have_small_budgets(
    found: tuple[Path, pd.DataFrame], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = found
    tasks = {
        "digits": TASK,
        "away": [*TASK, "table.path=nowhere"],
        "unlabelled": [*TASK, "weak_labels=[weak.nothing]"],
    }
    common, most = [f"output_root={folder}"], {"digits": 6}
    suite = Benchmark({"each": RANDOM_AT_LAST}, tasks, (6, 9), [7], common, conf_dir(), most, jobs=1)
    told, failed = suite.run(Console(stderr=True))
    assert not failed and set(told["task"]) == {"digits"} and set(told["budget"]) == {6}
    assert (
        "Left out: away, unlabelled; there is no table nowhere; at hand are: nb201_digits"
        in capsys.readouterr().err
    )
    with pytest.raises(UserError, match="there is no table nowhere"):
        Benchmark({"each": RANDOM}, {"away": tasks["away"]}, (6,), [7], common, conf_dir()).jobs()
    with pytest.raises(UserError, match="task digits has no budget: choose one of 6 or less"):
        Benchmark({"each": RANDOM}, {"digits": TASK}, (9,), [7], common, conf_dir(), most).jobs()


@pytest.mark.usefixtures("quick")
def test_a_run_that_fails_does_not_take_the_others_along(found: tuple[Path, pd.DataFrame]) -> None:
    folder, results = found
    one = benchmark(folder, once=RANDOM, broken=["ranker.finetuning.start_from_label=true"])
    again, failed = one.run(QUIET)
    assert {job.method for job in failed} == {"broken"} and len(failed) == 1
    assert all("fresh_head" in reason for reason in failed.values())
    pd.testing.assert_frame_equal(again, results[results["method"] == "once"].reset_index(drop=True))


def test_a_value_out_of_range_is_told_before_the_first_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ranker.dropout=2 must lie between 0 and 1"):
        benchmark(tmp_path, once=RANDOM, broken=["ranker.dropout=2"]).run(QUIET)
    assert not list(tmp_path.iterdir())


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


def test_the_command_runs_in_processes_writes_results_and_shows_them(
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
    cfg = OmegaConf.load(Path(conf_dir()) / "benchmark.yaml")
    cfg.methods, cfg.reference = ["random"], "random"
    cfg.merge_with(change)
    with pytest.raises(UserError, match=message):
        check(cfg)  # type: ignore[arg-type]


def test_the_suite_is_every_task_there_is() -> None:
    cfg = OmegaConf.load(Path(conf_dir()) / "benchmark.yaml")
    cfg.tasks = "suite"
    check(cfg)  # type: ignore[arg-type]
    assert (
        {"digits", "digits_reversed", "gpt_s", "nb201_cifar100_costs"}
        < set(cfg.tasks)
        == set(cfg.define.tasks)
    )
    assert set(cfg.define.most) < set(cfg.tasks)


def test_fronts_are_their_tasks_and_can_be_named_alone() -> None:
    cfg = OmegaConf.load(Path(conf_dir()) / "benchmark.yaml")
    cfg.tasks = "fronts"
    check(cfg)  # type: ignore[arg-type]
    assert {"digits_params", "accel_throughputs"} < set(cfg.tasks) == set(cfg.define.fronts)
    assert not set(cfg.define.fronts) & set(cfg.define.tasks)
    cfg.tasks = ["digits_params", "digits"]
    check(cfg)  # type: ignore[arg-type]


@pytest.mark.usefixtures("quick")
def test_a_front_is_compared_by_its_hypervolume_at_each_budget(tmp_path: Path) -> None:
    methods = {"random": RANDOM, "nsga2": ["search=nsga2", "search.population=4", "search.per_round=2"]}
    task = {"digits": [*TASK, "search.front=[params_m]"]}
    common = [f"output_root={tmp_path}"]
    results, failed = Benchmark(methods, task, (6, 9), [7], common, conf_dir(), jobs=1).run(QUIET)
    assert not failed
    for folder, rows in results.groupby("folder"):
        front = json.loads((Path(str(folder)) / "summary.json").read_text())["front"]
        assert rows["trained"].tolist() == list(range(1, 10)) and set(rows[rows["serves"]]["trained"]) == {
            6,
            9,
        }
        assert rows["value"].iloc[-1] == front["hypervolume_share"] and 0 < front["hypervolume_share"] < 1
        assert rows["igd_plus"].iloc[-1] == front["igd_plus"]
        assert rows["regret"].iloc[-1] == pytest.approx(1 - front["hypervolume_share"])
        curve = {p["trained"]: p["hypervolume_share"] for p in json.loads(
            (Path(str(folder)) / "summary.json").read_text())["curve"]}  # fmt: skip
        assert rows.set_index("trained")["value"].loc[list(curve)].to_dict() == curve
    text = to_markdown(results, "random")
    assert "Hypervolume as a share of the true front's, after so many trainings" in text
    assert "IGD+ (lower is better), after so many trainings" in text
    assert "Trainings needed for the mean share of hypervolume of random after" in text
    page = build_comparison_page(results, "Benchmark", reference="random")
    assert "IGD+" in page and "share of the true front&#39;s hypervolume (test values)" in page
    smaller, _ = Benchmark(methods, task, (6,), [7], common, conf_dir(), jobs=1).run(QUIET)
    for method in methods:
        whole = results[(results["method"] == method) & (results["trained"] <= 6)]["value"]
        np.testing.assert_array_equal(whole, smaller[smaller["method"] == method]["value"])


@pytest.fixture(scope="module")
def with_curves(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A task whose trainings show a value after 1, 3 and 9 epochs."""
    folder = tmp_path_factory.mktemp("curves")
    digits = BenchmarkTable.open(find_table("nb201_digits"))
    final = digits.column("digits.observed.10")
    columns = {f"mine.valid.{at}": final * (1 - 0.3 / at) for at in (1, 3, 9)}
    write_table(
        pd.DataFrame({"arch": digits.archs, **columns}),
        folder / "curves.parquet",
        TableMetadata("nasbench201", unit="percent"),
    )
    given = {"path": folder / "curves.parquet", "space": "nasbench201", "observed": "mine.valid.9"}
    table = [f"table.{key}={value}" for key, value in given.items()]
    return [*TASK, "table=own", *table, "table.curve=mine.valid.*", "weak_labels=[]"]


ASHA = ["search=random", "search.per_round=1", "search.budget=null", "search/stopping=halving"]


@pytest.mark.usefixtures("quick")
def test_a_task_with_a_budget_of_epochs_is_compared_by_epochs(with_curves: list[str], tmp_path: Path) -> None:
    common, methods = [f"output_root={tmp_path}"], {"asha": ASHA, "full": RANDOM}
    both = Benchmark(methods, {"curves": with_curves}, (4, 6), [7], common, conf_dir(), jobs=1)
    jobs = both.jobs()
    assert {(job.method, job.budget, job.serves) for job in jobs} == {
        ("asha", 4, (4,)),
        ("asha", 6, (6,)),
        ("full", 6, (4, 6)),
    }, "its last rounds are cut to what can be paid, so a smaller budget is a run of its own"
    assert {job.epochs for job in jobs} == {9.0}
    assert {job.overrides[-1] for job in jobs if job.method == "asha"} == {
        "search.budget_epochs=36",
        "search.budget_epochs=54",
    }
    found, failed = both.run(QUIET)
    assert not failed and set(found["full_epochs"]) == {9.0}
    for folder, rows in found.groupby("folder"):
        summary = json.loads((Path(str(folder)) / "summary.json").read_text())
        trials = pd.read_parquet(Path(str(folder)) / "observations.parquet")
        paid = trials["epochs"].cumsum() / 9
        method, budget = rows["method"].iloc[0], rows["budget"].iloc[0]
        assert summary["epochs"]["full"] == 9 and summary["epochs"]["paid"] <= 9 * budget
        assert (summary["epochs"]["budget"] is None) == (method == "full")
        for row in rows.to_dict("records"):
            last = trials[paid <= row["trained"] + 1e-6].iloc[-1]
            assert row["arch"] == last["returned"]
        assert rows["arch"].iloc[-1] == summary["returned"]["arch"] and rows["trained"].iloc[-1] == budget
        assert set(rows.loc[rows["serves"], "trained"]) == ({4, 6} if method == "full" else {budget})
    stopped = pd.read_parquet(
        Path(str(found[found["method"] == "asha"]["folder"].iloc[-1])) / "observations.parquet"
    )
    assert (stopped["state"] == "stopped").any(), "otherwise there is nothing to compare"
    assert "| asha |" in to_markdown(found, "full") and "(9 epochs each)" in to_markdown(found, "full")


def test_trainings_that_report_nothing_have_no_budget_of_epochs(tmp_path: Path) -> None:
    one = Benchmark({"asha": ASHA}, {"digits": TASK}, (4,), [7], [f"output_root={tmp_path}"], conf_dir())
    with pytest.raises(
        UserError, match="method asha has a budget of epochs, and trainings of task digits do not"
    ):
        one.jobs()
