"""The stages of a run in order. What is done is not done again: a run that was killed goes on where it was."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from acenas.files import write_text
from acenas.report.identity import Named
from acenas.report.live import RunProgress, artifacts_of_run, log_artifacts
from acenas.report.live.status import RunStatus
from acenas.report.runs import PRUNED
from acenas.run.arguments import check_arguments
from acenas.run.config import instantiate, run_hash
from acenas.run.folder import Clock, finish
from acenas.run.networks import final_training
from acenas.run.parts import Parts
from acenas.run.pruning import PrunedError
from acenas.run.stages import final
from acenas.run.stages.candidates import known_values
from acenas.run.stages.labels import counted_labels, label_quality, label_sources, supernet_labels
from acenas.run.stages.report import report, task_of
from acenas.run.stages.search import Trial, search
from acenas.run.stages.setup import loggers_of, make_parts, name_run
from acenas.run.takeover import take_over


def run(
    cfg: DictConfig, folder: Path, trial: Trial | None = None, named: Named | None = None, page: bool = True
) -> None:
    """Runs what `cfg` asks for in `folder`, or goes on with it. Raises `UserError` where it cannot run.

    `trial` makes what watches the search for a hyper-parameter search, and may give the run up; `named` are method and
    task, where the run is one of a benchmark; `page` says whether a search gets its page.
    """
    values: Any = OmegaConf.to_container(cfg, resolve=True)
    if values["search"] and values["search"].get("budget") is None:
        values["search"].pop("budget", None)  # the study says how many its epochs allow
    check_arguments(values)
    written = OmegaConf.to_yaml(cfg, resolve=True)
    clock = Clock(folder, RunStatus(folder))
    if cfg.measurement:
        measurement = instantiate(cfg.measurement)
        write_text(folder / "config.yaml", written)
        name_run(cfg, folder, "", named)
        with clock.stage("measurement"):
            measured = {"measured": str(measurement.run(folder))}
        finish(
            folder, {"experiment": str(cfg.experiment), "seed": int(cfg.seed)} | measured | clock.summary()
        )
        return
    # Of the configuration as it was given: the path of the table, set below, depends on the machine.
    hashes = {"hash": run_hash(cfg), "hash_without_seed": run_hash(cfg, without=["seed"])}
    parts = make_parts(cfg, folder)  # before the first file: a run that lacks something leaves no folder
    merged = OmegaConf.merge(OmegaConf.create(written), {"weak_labels": cfg.weak_labels})
    written = OmegaConf.to_yaml(merged, resolve=True)
    write_text(folder / "config.yaml", written)
    who = name_run(cfg, folder, task_of(cfg, parts), named)
    if cfg.search and cfg.take_over and not cfg.fresh:
        take_over(folder)
    loggers = loggers_of(cfg, folder, who, hashes)
    try:
        finish(folder, _stages(cfg, folder, parts, clock, loggers, trial, page) | clock.summary())
    except PrunedError as reason:
        write_text(folder / PRUNED, f"{reason}\n")
        print(f"Given up: {reason}.")


def _stages(
    cfg: DictConfig, folder: Path, parts: Parts, clock: Clock, opened: Any, trial: Trial | None, page: bool
) -> dict[str, Any]:
    """Every stage that is not done yet; returns the summary."""
    space, costs, progress = parts.space, parts.costs, RunProgress(status=clock.status)
    is_of = {"experiment": cfg.experiment, "seed": cfg.seed, "space": space.name}
    result: dict[str, Any] = {}
    known = known_values(cfg, parts.evaluator, costs)
    # Before anything is trained in vain.
    pool = None
    if parts.search and parts.evaluator:
        pool = parts.search.candidates.pool(space, costs, cfg.seed, parts.evaluator.archs())
    with opened as loggers, progress:
        labels = None
        if cfg.supernet:
            labels = supernet_labels(cfg, folder, space, costs, progress, clock.stage, loggers)
            labels.save(folder / "weak_labels.parquet")
            result["weak_labels"] = label_quality(labels, space, *known, loggers)
        if pool:
            counted = counted_labels(cfg, folder, parts, pool, labels, progress, clock.stage)
            sources = label_sources(cfg, parts.labels, labels, counted)
            found = search(cfg, folder, parts, pool, sources, known, progress, loggers, clock, trial)
            with clock.stage("report"):
                result |= report(cfg, folder, parts, known, found, clock.seconds, loggers, page)
        if cfg.final:
            with clock.stage("final"):
                result["final"] = final.train(cfg, folder, result, progress, loggers)
        if cfg.export:
            with clock.stage("export"):
                result["export"] = final.export(cfg, folder, is_of | result)
        uses = [("weak_labels", [Path(cfg.weak_labels_file)])] if cfg.weak_labels_file else []
        log_artifacts(loggers, artifacts_of_run(folder), uses)
    return is_of | result


def assist(cfg: DictConfig, folder: Path) -> None:
    """The part of a run that the other processes of a launcher (`torchrun`, `srun`) take: whatever trains on images."""
    if cfg.supernet or cfg.final:
        parts = make_parts(cfg, folder)
        progress = RunProgress(Console(quiet=True))  # the first process tells how far the run is
        if cfg.supernet:
            supernet_labels(cfg, folder, parts.space, parts.costs, progress, lambda stage: nullcontext())
        if cfg.final:
            final_training(cfg).run(folder / "final")
