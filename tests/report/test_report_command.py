"""`python -m acenas.report`: its files, its page, and the page in a browser."""

import json
import pickle
import re
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from acenas import Choices, Study
from acenas.errors import shortened
from acenas.ranker.baselines import ObservedRanker
from acenas.report.command import main
from acenas.report.identity import Identity
from acenas.trust import build
from tests.report.conftest import Opened, seconds_to_load, violations
from tests.report.live.wandb_offline import offline_folders, read_offline_run
from tests.report.runs import LOSS, finished_run
from tests.report.test_page import Page

SEEDS = 5


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    for number in range(3 * SEEDS):
        loss = ("lambdarank", "ranknet", "mse<i>")[number // SEEDS]
        finished_run(folder / "runs", number, [f"loss={loss}"], scored=True, loss=loss, seed=number % SEEDS)
    assert main([str(folder / "runs"), "--out", str(folder / "out"), "--title", "A & B"]) == 0
    return folder / "out"


def test_the_page_is_whole_and_needs_nothing_else(written: Path) -> None:
    content = (written / "index.html").read_text()
    page = Page()
    page.feed(content)
    page.close()
    assert page.open == []
    outside = [link for link in page.loaded if not link.startswith(("data:", "#"))]
    assert len(outside) == 15 and all(link.endswith("report.html") for link in outside), "links to the runs"
    assert "A & B" in page.text and "loss=mse<i>" in page.text and "<i>" not in content


def test_tables_agree_with_a_plain_mean(written: Path) -> None:
    accuracy = [91.0 + number % 7 for number in range(3 * SEEDS)]
    for i, loss in enumerate(("lambdarank", "ranknet", "mse<i>")):
        mine = np.array(accuracy[i * SEEDS : (i + 1) * SEEDS])
        error = mine.std(ddof=1) / SEEDS**0.5
        for name, sign in {"comparison.md": "±", "comparison.tex": "$\\pm$"}.items():
            assert f"{mine.mean():.2f} {sign} {error:.2f}" in (written / name).read_text()
        table = pd.read_csv(written / "comparison.csv")
        row = table[(table["method"] == f"loss={loss}") & (table["metric"] == "test_accuracy")]
        assert row["mean"].item() == pytest.approx(mine.mean()) and row["seeds"].item() == SEEDS
    parameters = table[(table["method"] == "loss=ranknet") & (table["metric"] == "params_m")]
    assert parameters["mean"].item() == pytest.approx(np.mean([1.0 + seed for seed in range(SEEDS)]))
    assert "| Returned after 20 | M parameters | ms on pixel3 |" in (written / "comparison.md").read_text()
    assert (written / "curves.png").exists() and (written / "curves.svg").exists()


def test_results_of_several_places_are_one_comparison(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two machines, one of which has a run of the other as well: its seeds are all counted once."""
    for place, numbers in {"here": range(8), "there": range(7, 3 * SEEDS)}.items():
        for number in numbers:
            loss = ("lambdarank", "ranknet", "mse<i>")[number // SEEDS]
            finished_run(
                tmp_path / place, number, [f"loss={loss}"], scored=True, loss=loss, seed=number % SEEDS
            )
    assert main([str(tmp_path / "there"), "--out", str(tmp_path / "elsewhere")]) == 0
    theirs = tmp_path / "elsewhere" / "results.parquet"
    assert set(pd.read_parquet(theirs)["folder"].str.slice(0, 9)) == {"../there/"}
    for name, places in {"both": [tmp_path / "here", theirs], "again": [written / "results.parquet"]}.items():
        assert main([*map(str, places), "--out", str(tmp_path / name)]) == 0
        table, whole = (
            pd.read_csv(folder / "comparison.csv").sort_values(
                ["task", "metric", "method"], ignore_index=True
            )
            for folder in (tmp_path / name, written)
        )
        pd.testing.assert_frame_equal(table, whole)
    links = (tmp_path / "both" / "index.html").read_text().count("report.html")
    assert links == 3 * SEEDS, "to the runs in both places"
    other = pd.read_parquet(theirs).assign(objective="loss")
    other.to_parquet(tmp_path / "other.parquet")
    pd.read_parquet(theirs).assign(full_epochs=90.0).to_parquet(tmp_path / "epochs.parquet")
    other.drop(columns="value").to_parquet(tmp_path / "less.parquet")
    capsys.readouterr()
    for arguments, message in (
        (
            [theirs, tmp_path / "other.parquet"],
            "is compared by test accuracy % max along trainings in one place and by test loss",
        ),
        (
            [theirs, tmp_path / "epochs.parquet"],
            "max along trainings in one place and by test accuracy % max along epochs in",
        ),
        ([tmp_path / "less.parquet"], "name results.parquet of a comparison or of a benchmark"),
        ([tmp_path / "here" / "nothing.parquet"], "there is no folder"),
        ([theirs, "--wandb", "offline"], "--wandb needs the folder of a run"),
        ([theirs, "--reference", "mine"], "--reference mine: choose one of loss="),
    ):
        assert main([*map(str, arguments), "--out", str(tmp_path / "none")]) == 2
        told = capsys.readouterr().err
        assert message in told and told.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_losses_that_nobody_judged_are_compared_beside_accuracies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        name = ("a", "b")[number % 2]
        finished_run(tmp_path / "runs", number, [f"loss={name}"], loss=name, seed=number // 2)
        finished_run(
            tmp_path / "runs",
            10 + number,
            [f"loss={name}"],
            loss=name,
            seed=number // 2,
            objective=LOSS,
            judged=False,
        )
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".index.html.1a2b3c4d.tmp").write_text("what a kill has left half written")
    assert main([str(tmp_path / "runs"), "--out", str(tmp_path / "out")]) == 0
    assert not list((tmp_path / "out").glob(".*.tmp"))
    text = capsys.readouterr().out
    assert "Compared within each objective: observed val_loss (nats), test accuracy (%)." in text
    assert "nobody knows test values, so what was observed is compared" in text
    # The losses are 94 and 96 (method a), 95 and 97 (b).
    assert "| loss=a | 95.00 ± 1.00 |" in text and "| loss=b | 96.00 ± 1.00 |" in text
    table = pd.read_csv(tmp_path / "out" / "comparison.csv").set_index(["metric", "method"])["mean"]
    assert table["observed_val_loss", "loss=b"] == 96.0 and table["test_accuracy", "loss=b"] == 93.0
    results = pd.read_parquet(tmp_path / "out" / "results.parquet")
    assert results["observed_val_loss"].count() == results["test_accuracy"].count() == 8
    page = (tmp_path / "out" / "index.html").read_text()
    assert '<td class="best" data-value="95.0">95.00 ± 1.00</td>' in page, "the lower loss is the better one"
    assert '<td class="best" data-value="93.0">93.00 ± 1.00</td>' in page
    assert "Nobody knows test values" in page and "observed 94 nats, returned by 4 of 4 runs" in page


def test_studies_are_compared_by_what_was_observed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = Choices({"k": [1, 3, 5], "w": [8, 16, 32, 64]})
    best = []
    for seed in range(2):
        folder = tmp_path / "lab" / str(seed)
        study = Study(
            space, 2, folder, seed, objective="min loss", weak_labels=[], ranker=ObservedRanker(space)
        )
        losses = [1 / trial.choices["k"] + trial.choices["w"] for trial in study.ask()]
        for trial, loss in zip(study.pending, losses, strict=True):
            study.tell(trial, loss)
        study.report()
        best.append(min(losses))
    assert main([str(tmp_path / "lab"), "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "## a study of the space choices" in text and "nobody knows test values" in text
    results = pd.read_parquet(tmp_path / "out" / "results.parquet")
    assert results["observed_loss"].to_list() == pytest.approx(best) and set(results["method"]) == {"default"}


def test_a_comparison_is_a_wandb_run_that_names_those_it_compares(tmp_path: Path) -> None:
    for number in range(2):
        (finished_run(tmp_path / "runs", number) / "wandb_id.txt").write_text(f"id{number}")
    out = tmp_path / "out"
    assert main([str(tmp_path / "runs"), "--out", str(out), "--title", "Losses", "--wandb", "offline"]) == 0
    (folder,) = offline_folders(out)
    run = read_offline_run(folder)
    assert (run.job_type, run.name, run.tags, run.exit_code) == ("report", "Losses", ["nb201 cifar10"], 0)
    assert run.config["runs"] == ["id0", "id1"]
    comparison = next(artifact for artifact in run.artifacts.values() if artifact.type == "comparison")
    reports = json.loads(comparison.metadata)["made_from"]
    assert len(reports) == 2 and all(name.startswith("report-") for name in reports)
    assert "index.html" in [entry.path for entry in comparison.manifest.contents]


MOBILE = {
    "_target_": "acenas.spaces.MobileNet",
    "skeleton": {
        "_target_": "acenas.spaces.mobilenet.network.Skeleton",
        "stages": [[8, 2, 2], [16, 1, 1]],
        "in_channels": 1,
        "stem_channels": 8,
        "stem_stride": 1,
        "first_channels": 8,
        "head_channels": 32,
        "norm_momentum": 0.1,
        "norm_eps": 0.001,
    },
    "kernel_sizes": [3, 5],
    "expansions": [2, 4],
}


def test_a_space_with_a_nested_configuration_is_drawn(tmp_path: Path) -> None:
    arch = build(MOBILE, []).sample(1, torch.Generator().manual_seed(0))[0]
    finished_run(tmp_path / "runs", 0, returned=arch, space=MOBILE)
    assert main([str(tmp_path / "runs"), "--out", str(tmp_path / "out")]) == 0
    assert f"; {arch}</figcaption>" in (tmp_path / "out" / "index.html").read_text()


@pytest.mark.parametrize(
    "target",
    [
        {"_target_": "os.system", "command": "touch {made}"},
        {"_target_": "builtins.eval", "source": "open('{made}', 'w')"},
        {"_target_": "pandas.read_pickle", "filepath_or_buffer": "{pickle}"},
        {"_target_": "acenas.files.write_text", "path": "{made}", "text": ""},
        {"_target_": "acenas.files.Path.touch", "self": "{made}"},
        {"_target_": "acenas.spaces.base.torch.load", "f": "{pickle}", "weights_only": False},
        {"_target_": "acenas.spaces.base.Figure"},
    ],
    ids=lambda target: str(target["_target_"]),
)
@pytest.mark.parametrize("nested", [False, True])
def test_nothing_that_a_strangers_configuration_names_is_run(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    target: dict[str, object],
    nested: bool,
) -> None:
    # Curves take most of the time, and nothing of the configuration is in them.
    monkeypatch.setattr("acenas.report.command.save_figure", lambda *_: b"")
    monkeypatch.setattr("acenas.report.comparison_page.figure_bytes", lambda *_: b"<svg/>")
    made, evil = tmp_path / "made", tmp_path / "evil.pkl"
    evil.write_bytes(pickle.dumps(Evil(made)))
    named = {
        key: value.format(made=made, pickle=evil) if isinstance(value, str) else value
        for key, value in target.items()
    }
    space = {"_target_": "acenas.spaces.MobileNet", "skeleton": [named]} if nested else named
    folder = finished_run(tmp_path / "runs", 0, space=space)
    assert main([str(tmp_path / "runs"), "--out", str(tmp_path / "out")]) == 0
    assert not made.exists()
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Left out")]
    assert str(folder) in line and str(target["_target_"]) in line
    assert (tmp_path / "out" / "comparison.md").exists()


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_a_space_of_ones_own_is_drawn_where_its_module_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own_space.py").write_text(
        "from acenas.spaces import NasBench201\nclass Own(NasBench201):\n    name = 'own'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    finished_run(tmp_path / "runs", 0, space={"_target_": "own_space.Own"})
    arguments = [str(tmp_path / "runs"), "--out", str(tmp_path / "out")]
    page = tmp_path / "out" / "index.html"
    assert main(arguments) == 0 and "own_space" not in sys.modules
    assert "(--trust " in capsys.readouterr().err and "cifar10: test 91.00 %" not in page.read_text()
    assert main([*arguments, "--trust", "own_space"]) == 0
    assert "Left out" not in capsys.readouterr().err and "cifar10: test 91.00 %" in page.read_text()


def test_mistakes_are_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished_run(tmp_path, 0)
    assert main([str(tmp_path / "nowhere")]) == 2
    assert main([str(tmp_path), "--reference", "nobody"]) == 2
    messages = capsys.readouterr().err.splitlines()
    assert len(messages) == 2 and "choose one of default" in messages[1]


def test_a_hundred_runs_are_reported_within_20_seconds(tmp_path: Path) -> None:
    for number in range(100):
        finished_run(tmp_path / "runs", number, [f"k={number % 5}"], k=number % 5)
    start = time.monotonic()
    assert main([str(tmp_path / "runs"), "--out", str(tmp_path / "out")]) == 0
    assert time.monotonic() - start < 20


@pytest.fixture(scope="module")
def of_benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_of_benchmark(tmp_path_factory.mktemp("benchmark"))


def page_of_benchmark(folder: Path) -> Path:
    """The page of 57 runs of a benchmark, whose configurations have little in common."""
    for number in range(57):
        method, task = number % 19, f"task{number // 19}"
        own: Any = {f"group{method}": {f"key{key}": method for key in range(60)}}
        run = finished_run(folder / "runs", number, scored=True, seed=0, table={"name": task}, **own)
        name = f"method_{method}" + "_of_a_long_name" * 10 * (method == 3)
        Identity(name, task, 0, command=f"python -m acenas seed={number}", benchmark=True).write(run)
    assert main([str(folder / "runs"), "--out", str(folder / "out"), "--reference", "method_0"]) == 0
    return folder / "out" / "index.html"


@pytest.mark.slow
def test_the_page_of_57_runs_of_a_benchmark_is_small_and_has_its_names(of_benchmark: Path) -> None:
    content = of_benchmark.read_text()
    assert len(content) < 1_000_000 and "=–" not in content and "group3.key" not in content
    page = Page()
    page.feed(content)
    whole = "method_3" + "_of_a_long_name" * 10
    assert f'title="{whole}">{shortened(whole)}</span>' in content
    assert whole not in page.text and "python -m acenas seed=56" in content


@pytest.mark.slow
def test_the_page_of_57_runs_loads_within_two_seconds(of_benchmark: Path, browser: Any) -> None:
    assert seconds_to_load(browser, of_benchmark) < 2
    with Opened(browser, of_benchmark) as page:
        assert page.evaluate("document.documentElement.scrollHeight") < 24_000
        assert violations(page) == []


@pytest.mark.slow
def test_methods_are_switched_off_in_tables_and_curves(written: Path, browser: Any) -> None:
    with Opened(browser, written / "index.html") as page:
        methods = page.locator("section p + .wide tbody tr")
        drawn = page.locator(".chart canvas").first
        tip = page.locator(".chart .tip").first

        def told() -> str:
            page.locator(".chart .u-over").first.hover(position={"x": 100, "y": 50})
            return str(tip.inner_text())

        assert methods.count() == 3 and told().count("±") == 3 and "after 1" in told()
        before = drawn.evaluate("canvas => canvas.toDataURL()")
        page.locator("#methods label", has_text="ranknet").click()
        assert [row.is_visible() for row in methods.all()].count(True) == 2
        assert drawn.evaluate("canvas => canvas.toDataURL()") != before
        assert told().count("±") == 2 and "ranknet" not in told()
        assert page.locator("table:visible tr:visible", has_text="ranknet").count() == 0, "nor in any table"
        page.locator("#methods label", has_text="ranknet").press(" ")
        assert told().count("±") == 3 and drawn.evaluate("canvas => canvas.toDataURL()") == before
        page.locator("#methods button").click()
        assert [row.is_visible() for row in methods.all()].count(True) == 0, "none"
        page.locator("#methods button").click()
        page.fill("#filter", "RANKNET")
        assert told().count("±") == 1 and "ranknet" in told()
        assert [row.is_visible() for row in methods.all()].count(True) == 1
        assert page.locator(".plots figure:has(figcaption):visible").count() == 1, "figures are filtered, too"


@pytest.mark.slow
def test_curves_are_read_by_keys_and_told_apart_by_markers(written: Path, browser: Any) -> None:
    with Opened(browser, written / "index.html") as page:
        said = page.locator("main > [aria-live=polite]")
        page.locator(".chart").first.focus()
        page.keyboard.press("ArrowRight")
        rows = said.inner_text().split("; ")
        assert rows[0] == "after 10 trainings" and len(rows) == 4 and all("±" in row for row in rows[1:])
        page.keyboard.press("End")
        assert said.inner_text().startswith("after 20 trainings") and page.locator(".tip").first.is_visible()
        page.locator("#filter").focus()
        assert not page.locator(".tip").first.is_visible()
        signs = page.locator("#methods i")
        shapes = signs.evaluate_all("all => all.map(i => getComputedStyle(i).clipPath + i.dataset.marker)")
        assert len(shapes) == len(set(shapes)) == 3


@pytest.mark.slow
def test_the_table_sorts_by_keys(written: Path, browser: Any) -> None:
    with Opened(browser, written / "index.html") as page:
        accuracies = page.locator("section p + .wide tbody tr td:nth-child(4)")
        head = page.locator("section p + .wide th", has_text="test accuracy")

        def shown() -> list[float]:
            return [float(text.split()[0]) for text in accuracies.all_inner_texts()]

        head.locator("button").click()
        assert head.get_attribute("aria-sort") == "descending" and shown() == sorted(shown(), reverse=True)
        head.locator("button").press("Enter")
        assert head.get_attribute("aria-sort") == "ascending" and shown() == sorted(shown())
        head.locator("button").press(" ")
        assert head.get_attribute("aria-sort") == "descending" and shown() == sorted(shown(), reverse=True)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_everyone_can_read_the_page(written: Path, browser: Any, scheme: str, width: int) -> None:
    screen = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    with Opened(browser, written / "index.html", **screen) as page:
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "no sideways scrolling"
        page.emulate_media(media="print")
        assert not page.locator("#filter").is_visible() and not page.locator(".chart").first.is_visible()
        assert page.locator(".static svg").first.is_visible()
    with Opened(browser, written / "index.html", **screen, java_script_enabled=False) as page:
        assert page.locator(".static svg").first.is_visible() and not page.locator("#methods").is_visible()


@pytest.fixture(scope="module")
def of_sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a sweep of two keys, which only one of its configurations has in its command."""
    folder = tmp_path_factory.mktemp("sweep")
    for number, (loss, rate) in enumerate(product(("ranknet", "mse"), ("0.001", "0.01", "0.1"))):
        finished_run(
            folder / "runs", number, [f"loss={loss}", f"ranker.lr={rate}"], loss=loss, lr=rate, seed=0
        )
    assert main([str(folder / "runs"), "--out", str(folder / "out")]) == 0
    return folder / "out" / "index.html"


def test_configurations_of_a_sweep_are_lines_across_their_keys_and_the_result(of_sweep: Path) -> None:
    content = of_sweep.read_text()
    line = '<g data-method="([^"]*)"( class="best")?><title>([^<]*)</title><polyline points="([^"]*)"'
    lines = re.findall(line, content)
    assert len(lines) == 6 and [name for name, best, *_ in lines if best] == ["loss=mse, ranker.lr=0.1"]
    places = {
        name: [tuple(map(float, point.split(","))) for point in points.split()]
        for name, _, _, points in lines
    }
    # Words in their order, rates on a logarithmic scale, results from the lowest (280) to the highest (40).
    assert places["loss=ranknet, ranker.lr=0.001"] == [(20, 40), (150, 280), (280, 280)]
    assert places["loss=mse, ranker.lr=0.01"] == [(20, 280), (150, 160), (280, 88)]
    assert places["loss=mse, ranker.lr=0.1"] == [(20, 280), (150, 40), (280, 40)]
    assert lines[2][2] == "loss mse, ranker.lr 0.1, test accuracy (%) 96.00"


@pytest.mark.slow
def test_a_configuration_marks_its_rows(of_sweep: Path, browser: Any) -> None:
    with Opened(browser, of_sweep) as page:
        line = page.locator("g[data-method='loss=mse, ranker.lr=0.1']")
        line.dispatch_event("click")
        marked = page.locator("tr.pinned")
        assert marked.count() >= 2 and all("lr=0.1" in text for text in marked.all_inner_texts())
        line.dispatch_event("click")
        assert marked.count() == 0, "once more lets go"

        # By keys it is the same: up and down from result to result.
        said = page.locator("main > [aria-live=polite]")
        page.locator("figure:has(.parallel)").press("ArrowUp")
        worst = said.inner_text()
        assert "test accuracy (%) 91.00" in worst and page.locator("tr.hovered").count() >= 2
        page.keyboard.press("ArrowUp")
        assert "test accuracy (%) 92.00" in said.inner_text()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        assert said.inner_text() == f"Pinned: {worst}" and marked.count() >= 2
        page.locator("#methods label", has_text="loss=mse, ranker.lr=0.1").click()
        assert not line.is_visible()
