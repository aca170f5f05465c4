"""The stage of the report: after the search has ended, test accuracies are seen for the first time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger
from rich import get_console

from acenas.errors import reason_of
from acenas.evaluation import Judge, TableJudge
from acenas.report.front import front_metrics, write_front
from acenas.report.live import log_result, log_table
from acenas.report.page import write_report
from acenas.report.runs import PAGE
from acenas.report.summary import FinishedSearch, best_architectures, build_summary, round_metrics
from acenas.run.config import instantiate_in, objective_of, trains_architectures
from acenas.run.networks import final_command, member_command
from acenas.run.parts import Parts
from acenas.run.stages.candidates import keep
from acenas.run.stages.labels import counted_costs
from acenas.search import SearchResult
from acenas.search.costs import Costs
from acenas.tables import parse_column
from acenas.tables.schema import Flops, Latency, Parameters

PACKAGES = ("acenas", "torch", "pytorch-lightning", "torch-geometric", "numpy")
"""Packages whose versions a summary names."""


def report(
    cfg: DictConfig,
    folder: Path,
    parts: Parts,
    known: tuple[Sequence[str], NDArray[np.float64]],
    result: SearchResult,
    seconds: Mapping[str, float],
    loggers: Sequence[Logger],
    page: bool,
) -> dict[str, Any]:
    """Writes figures and page; returns the search's part of the summary.

    Args:
        cfg: The configuration.
        folder: Of the run.
        parts: Those of a run with a search.
        known: Architectures and observed values `[A]` that keep the constraints.
        result: What the search left behind.
        seconds: Of each stage so far.
        loggers: Where metrics go.
        page: Whether figures and page are made: of the hundreds of searches of a benchmark nobody looks at each.
    """
    search = finished_search(cfg, folder, parts, known, result, seconds)
    for row in round_metrics(search):
        for logger in loggers:
            logger.log_metrics(row, step=int(row["search/trained"]) if "search/trained" in row else None)
    for row in front_metrics(search) if search.front else ():
        for logger in loggers:
            logger.log_metrics(row, step=int(row["front/trained"]))
    if search.front:
        write_front(folder, search)
    best = best_architectures(search)
    if len(search.failed):
        log_table(loggers, "report/failed_trainings", search.failed[["arch", "round", "message"]])
    # A table tells costs at once, and building networks takes its time. What is returned need not be among the best
    # observed: the noise of a training is seen through.
    of_table = search.scores["arch"].to_list() if parts.task is None else []
    costs = costs_of(list(dict.fromkeys([*best["arch"], search.returned, *of_table])), cfg, parts)
    summary = build_summary(search)
    summary["returned"]["costs"] = costs.loc[search.returned].dropna().to_dict()
    pictures: list[bytes] = []
    if page:
        written = OmegaConf.to_yaml(cfg, resolve=True)
        train = final_command(cfg, folder, parts.space, search.returned)
        of_member = member_command(train, folder)
        pictures = write_report(folder, search, parts.space.draw, written, costs, train, of_member)
    log_table(loggers, "report/best_architectures", best.join(costs, on="arch"), pictures)
    picture = dict(zip(best["arch"], pictures, strict=False)).get(search.returned)
    log_result(loggers, summary, folder / PAGE, picture)
    return summary


def finished_search(
    cfg: DictConfig,
    folder: Path,
    parts: Parts,
    known: tuple[Sequence[str], NDArray[np.float64]],
    result: SearchResult,
    seconds: Mapping[str, float],
) -> FinishedSearch:
    """What the search found, with the test values of the judge where there is one; arguments as those of `report`."""
    costs, objective = parts.costs, objective_of(cfg)
    told_by, dataset = teller_and_dataset(cfg, parts)
    trained = result.observations.groupby("arch", sort=False)[objective.column].mean()
    given = result.given.set_index("arch")
    judge: Judge | None = instantiate_in(cfg.judge, folder / "trained") if cfg.judge else None
    test = None if judge is None else test_values(judge, costs, trained.dropna().index)
    reference = test if cfg.table else None
    if cfg.table and judge is not None and not isinstance(judge, TableJudge):
        in_table = TableJudge(cfg.table.path, cfg.table.space, cfg.table.test, cfg.table.get("objective"))
        reference = _series(*keep(costs, *in_table.known()))
    known_costs = pd.DataFrame()
    if costs.front and not costs.observed:
        of = test if reference is None else reference
        known_costs = costs.costs(known[0] if of is None else of.index.tolist())
    of_all = pd.concat([costs.with_observed(each) for each in (result.given, result.observations)])
    return FinishedSearch(
        experiment=cfg.experiment,
        seed=cfg.seed,
        table=told_by,
        dataset=dataset,
        observations=result.observations,
        scores=result.scores,
        observed=_series(*known).combine_first(trained).combine_first(given[objective.column]),
        test=test,
        seconds=seconds,
        versions={package: version(package) for package in PACKAGES},
        reference=reference,
        limits=costs.at_most,
        costs=of_all[~of_all.index.duplicated()],
        cost_origins=costs.origins,
        objective=objective,
        given=result.given,
        front=costs.front,
        fronts=result.fronts,
        predicted=result.predicted,
        known_costs=known_costs,
        spending=result.spending,
    )


def teller_and_dataset(cfg: DictConfig, parts: Parts) -> tuple[str, str]:
    """The benchmark table, or what else tells how good an architecture is, and the data set."""
    if cfg.table:
        return cfg.table.name, cfg.table.dataset
    told_by = "trained from scratch" if trains_architectures(cfg) else "own trainings"
    return told_by, parts.task.source.name if parts.task else ""


def task_of(cfg: DictConfig, parts: Parts) -> str:
    """On what a run searches or trains, in words."""
    if cfg.search:
        return " ".join(teller_and_dataset(cfg, parts)).strip()
    return parts.task.source.name if parts.task else ""


def test_values(judge: Judge, costs: Costs, trained: Iterable[str]) -> pd.Series[float]:
    """What the judge knows of all architectures that keep the constraints, and of those of `trained` in any case."""
    test = _series(*keep(costs, *judge.known()))
    others = [arch for arch in dict.fromkeys(trained) if arch not in test.index]
    if others and not isinstance(judge, TableJudge):  # the column of a table may lack some
        test = pd.concat([test, _series(others, judge.test_accuracy(others))])
    return test


def costs_of(archs: Sequence[str], cfg: DictConfig, parts: Parts) -> pd.DataFrame:
    """Parameters and FLOPs in millions: counted for the images, else those of the table, which may have latencies (ms).

    NaN where the table has no value; no column where nothing tells costs, or where counting them fails.
    """
    table = parts.table
    if parts.task:
        try:
            costs = counted_costs(parts.space, archs, parts.task).frame()
        except Exception as error:  # of a user's network: all is trained and paid by now
            get_console().print(
                f"Costs are left out of the report, as counting them failed: {reason_of(error)}",
                soft_wrap=True,
                markup=False,
            )
            return pd.DataFrame(index=list(archs))
        return costs.rename(columns=lambda name: name.split(".")[1])
    if table is None:
        return pd.DataFrame(index=list(archs))
    of_dataset, rows = str(cfg.table.observed).split(".")[0] + ".", table.find(archs)
    found = {
        name.removeprefix(of_dataset): np.where(rows >= 0, table.column(name)[rows], np.nan)
        for name in table.columns
        if name.startswith(of_dataset) and isinstance(parse_column(name), Parameters | Flops | Latency)
    }
    return pd.DataFrame(found, index=list(archs))


def _series(archs: Sequence[str], values: NDArray[np.float64]) -> pd.Series[float]:
    return pd.Series(values, index=list(archs), dtype=np.float64)
