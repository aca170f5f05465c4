"""The command `python -m acenas.report`: finished runs side by side."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure

from acenas.errors import UserError, exit_status
from acenas.files import atomic_path, read_frame, reading, remove_unfinished, shown, write_text
from acenas.markup import cell
from acenas.report.comparison import (
    HYPERVOLUME,
    comparison,
    cost_columns,
    count,
    markdown_table,
    of_fronts,
    regret_name,
    to_latex,
    to_markdown,
    value_name,
)
from acenas.report.comparison_page import build_comparison_page
from acenas.report.curves import curves, front_curves, front_lines
from acenas.report.figures import figure_bytes, save_figure, score_scatter
from acenas.report.finished import (
    FinishedRun,
    joined,
    method_names,
    read_results,
    read_runs,
    results_of,
    settings_of,
)
from acenas.report.page import as_element
from acenas.report.suite import is_suite, suite_figure, suite_tables
from acenas.report.summary import FinishedSearch, cost_unit
from acenas.search.state import ENDED
from acenas.spaces import SearchSpace
from acenas.trust import HELP, build_kind

PICTURES, RANKINGS = 6, 12
"""Architectures, and scores against what was observed, that are drawn: more would make a page that nobody reads."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m acenas.report",
        description="Compares finished runs: a page, tables and curves, means over seeds with their standard errors.",
        epilog="Runs whose configurations differ in nothing but the seed are one method; so sweeps need no naming.",
    )
    parser.add_argument(
        "runs",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="of a run, or of runs, such as a sweep's; or results.parquet of a comparison or benchmark made elsewhere",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("comparison"), help="folder to write into (default: comparison)"
    )
    parser.add_argument(
        "--group-by",
        nargs="+",
        default=[],
        metavar="KEY",
        help="keys of the configuration to tell methods apart by, as in loss._target_; by default all that differ",
    )
    parser.add_argument(
        "--reference", metavar="METHOD", help="the method to compare with (default: the first)"
    )
    parser.add_argument("--title", default="Comparison", help="of the page")
    parser.add_argument(
        "--wandb",
        choices=("offline", "online"),
        help="record the comparison in W&B too, beside the runs and linked with them",
    )
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="MODULE",
        help=HELP,
    )
    parser.add_argument(
        "--benchmark",
        action="store_true",
        help="compare the runs that benchmarks have made, which are left out where there are others",
    )
    options = parser.parse_args(arguments)
    return exit_status(lambda: _report(options))


def _report(options: argparse.Namespace) -> None:
    files = [path for path in options.runs if path.is_file()]
    folders = [path for path in options.runs if path not in files]
    finished, left_out = read_runs(folders, options.benchmark) if folders else ([], {})
    methods = method_names(finished, options.group_by) if finished else []
    of_runs = [results_of(finished, methods)] if finished else []
    results = joined([*of_runs, *map(read_results, files)])
    names = list(dict.fromkeys(results["method"]))
    if options.reference and options.reference not in names:
        raise UserError(f"--reference {options.reference}: choose one of {'; '.join(names)}")
    if options.wandb and not finished:
        raise UserError(
            "--wandb needs the folder of a run, which says in which project; there are results alone"
        )
    pictures, not_drawn = best_pictures(finished, options.trust)
    figures, without = rankings(finished, methods)
    for folder, why in (*not_drawn.items(), *without.items()):
        left_out[folder] = f"{left_out[folder]}; {why}" if folder in left_out else why
    out: Path = options.out
    reference = options.reference or names[0]
    text = write_comparison(
        out,
        results,
        reference,
        build_comparison_page(
            results,
            options.title,
            reference=reference,
            pictures=pictures,
            rankings=figures,
            left_out=left_out,
            relative_to=out,
            settings=settings_of(finished, methods),
        ),
    )
    if options.wandb:
        log_comparison(out, results, finished, options.title, options.wandb)
    for folder, why in left_out.items():
        print(f"Left out: {folder}: {why}", file=sys.stderr)
    print(text)
    print(f"Page: {out / 'index.html'}")


def write_comparison(out: Path, results: pd.DataFrame, reference: str, page: str) -> str:
    """Writes the page, tables as Markdown, LaTeX and CSV, figures as PNG and SVG, and the results as Parquet.

    Args:
        out: the folder.
        results: see `acenas.report.comparison`.
        reference: a method.
        page: `build_comparison_page`.

    Returns:
        The tables as Markdown.
    """
    figures, parts_of_text = {"curves": curves(results)}, [to_markdown(results, reference)]
    if any(front_lines(part) for _, part in results.groupby("task")):
        figures["fronts"] = front_curves(results)
    if is_suite(results):
        figures["suite"] = suite_figure(results)
        over_all = [markdown_table(*table) for table in suite_tables(results, reference)]
        parts_of_text = ["## Over all tasks", *over_all, *parts_of_text]
    text = "\n\n".join(parts_of_text)
    write_text(out / "index.html", page)
    write_text(out / "comparison.md", text + "\n")
    write_text(out / "comparison.tex", to_latex(results) + "\n")
    results, parts = results.copy(), []
    for task in dict.fromkeys(results["task"]):
        part = results[results["task"] == task]
        # such as test_accuracy and test_regret, or hypervolume_share and hypervolume_share_missed
        value, regret = (
            name(part).replace("share of hypervolume", HYPERVOLUME).replace(" ", "_")
            for name in (value_name, regret_name)
        )
        results.loc[part.index, value] = part["value"]
        of_front = ["igd_plus"] if of_fronts(part) else []
        for column in ("value", "regret", *of_front, "ndcg@10", "cpu_seconds", *cost_columns(results)):
            metric = {"value": value, "regret": regret}.get(column, column)
            parts.append(comparison(part, column).assign(task=task, metric=metric))
    table = pd.concat(parts)[["task", "metric", "method", "trained", "mean", "standard_error", "seeds"]]
    table["trained"] = table["trained"].map(count)
    with atomic_path(out / "comparison.csv") as path:
        table.map(cell).to_csv(path, index=False)
    results["folder"] = [os.path.relpath(folder, out) for folder in results["folder"]]  # both may be moved
    with atomic_path(out / "results.parquet") as path:
        results.to_parquet(path, index=False)
    for name, figure in figures.items():
        for kind in ("png", "svg"):
            save_figure(figure, out / f"{name}.{kind}")
    remove_unfinished(out)
    return text


def log_comparison(
    out: Path,
    results: pd.DataFrame,
    finished: Sequence[FinishedRun],
    title: str,
    mode: Literal["offline", "online"],
) -> None:
    """Logs the comparison as a W&B run of type `report`: its table and page, linked with the runs that it compares.

    It lies in the runs' project; its configuration has their ids (`runs`), its artifact those of their reports.

    Args:
        out: folder of the comparison.
        results: see `acenas.report.comparison`.
        finished: the runs.
        title: of the comparison.
        mode: of W&B.
    """
    from acenas.report.live import artifacts_of_run, log_artifacts, log_table, run_loggers  # slow

    ids = [file.read_text().strip() for run in finished if (file := run.folder / "wandb_id.txt").exists()]
    with run_loggers(
        out,
        mode=mode,
        project=finished[0].config.get("logger.project", "acenas"),
        group="comparisons",
        job_type="report",
        name=title,
        tags=[task[:64] for task in dict.fromkeys(results["task"])],
        config={"runs": ids, "methods": list(dict.fromkeys(results["method"]))},
    ) as loggers:
        log_table(loggers, "report/comparison", pd.read_csv(out / "comparison.csv"))
        files = [out / name for name in ("index.html", "comparison.csv", "results.parquet", "curves.png")]
        reports = [one for run in finished for one in artifacts_of_run(run.folder) if one[0] == "report"]
        log_artifacts(loggers, [("comparison", files)], reports)


def best_pictures(
    finished: Sequence[FinishedRun], trust: Sequence[str] = ()
) -> tuple[list[tuple[str, Figure]], dict[Path, str]]:
    """Draws the architectures returned, the best of each task first.

    Args:
        finished: the runs.
        trust: modules beside `acenas.spaces` that a run's configuration may take its search space from.

    Returns:
        The pictures, each with a line about the architecture; and the folders whose space was not opened, with why.
    """
    by_task: dict[str, dict[str, list[FinishedRun]]] = {}
    for run in finished:
        by_task.setdefault(run.task, {}).setdefault(run.summary["returned"]["arch"], []).append(run)
    ranked = [
        sorted(
            by_arch.values(),
            key=lambda its: -its[0].objective.sign * its[0].summary["returned"][its[0].column],
        )
        for by_arch in by_task.values()
    ]
    pictures: list[tuple[str, Figure]] = []
    not_drawn: dict[Path, str] = {}
    for its in [its for place in zip_longest(*ranked) for its in place if its][:PICTURES]:
        first, returned = its[0], its[0].summary["returned"]
        arch, objective = returned["arch"], first.objective
        values = {kind: returned.get(f"{kind}_{objective.name}") for kind in ("test", "observed")}
        known = [
            f"{kind} {shown(value, objective.unit)}" for kind, value in values.items() if value is not None
        ]
        facts = [
            f"{first.task}: {known[0]}",
            *known[1:],
            f"returned by {len(its)} of {sum(run.task == first.task for run in finished)} runs",
            *(f"{value:.3g} {cost_unit(name)}" for name, value in returned.get("costs", {}).items()),
        ]
        try:
            pictures.append((f"{', '.join(facts)}; {arch}", _draw(first, arch, trust)))
        except UserError as error:
            not_drawn[first.folder] = f"no picture of its architecture: {error}"
    return pictures, not_drawn


def _draw(run: FinishedRun, arch: str, trust: Sequence[str]) -> Figure:
    return build_kind(SearchSpace, run.space, trust).draw(arch)  # type: ignore[type-abstract]


def rankings(
    finished: Sequence[FinishedRun], methods: Sequence[str]
) -> tuple[dict[str, str], dict[Path, str]]:
    """For each method and task a figure of one run, its scores against what was observed; and where there is none, why.

    There are `RANKINGS` at most; the pages of the runs have the others. They are drawn from the runs' data: the figures
    in their folders may be anything, where a run is a stranger's.
    """
    figures: dict[tuple[str, str], tuple[str, str]] = {}
    not_drawn: dict[Path, str] = {}
    for run, method in zip(finished, methods, strict=True):
        if len(figures) == RANKINGS:
            break
        if (run.task, method) in figures or not (run.folder / "scores.parquet").exists():
            continue
        try:
            with reading(run.folder, "its report.html may have the figure"):
                told = f"Observed {run.objective.name} against predicted rank: {method} on {run.task}"
                figure = as_element(figure_bytes(score_scatter(_search(run)), "svg"), told)
        except UserError as error:
            not_drawn[run.folder] = f"no figure of its ranking: {error}"
        else:
            figures[run.task, method] = f"{run.task}: {method}, seed {run.summary['seed']}", figure
    return dict(figures.values()), not_drawn


def _search(run: FinishedRun) -> FinishedSearch:
    """What the figure of a ranking needs: what was trained, and the scores."""
    column = run.objective.column
    kinds = {"arch": "text", "state": "text", "round": "numbers", "returned": "text", column: "numbers"}
    observations = read_frame(run.folder / "observations.parquet", kinds)
    observations = observations[observations["state"].isin(ENDED)]
    return FinishedSearch(
        experiment="",
        seed=0,
        table="",
        dataset="",
        observations=observations,
        scores=read_frame(run.folder / "scores.parquet", {"arch": "text"}),
        observed=observations.groupby("arch")[column].mean(),
        test=None,
        seconds={},
        versions={},
        objective=run.objective,
    )
