"""The stages of a run in order. What is done is not done again: a run that was killed goes on where it was."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from acenas.files import write_text
from acenas.report.finished import method_overrides
from acenas.report.live import RunProgress, artifacts_of_run, log_artifacts
from acenas.report.live.status import RunStatus
from acenas.report.runs import PRUNED
from acenas.run.arguments import check_arguments
from acenas.run.config import instantiate, objective_of, run_hash
from acenas.run.folder import Clock, finish
from acenas.run.networks import final_training
from acenas.run.parts import Parts
from acenas.run.pruning import PrunedError
from acenas.run.stages import final
from acenas.run.stages.candidates import known_values
from acenas.run.stages.labels import counted_labels, label_quality, label_sources, supernet_labels
from acenas.run.stages.report import report
from acenas.run.stages.search import Trial, search
from acenas.run.stages.setup import make_parts
from acenas.run.takeover import take_over


def run(cfg: DictConfig, folder: Path, trial: Trial | None = None) -> None:
    """Runs what `cfg` asks for in `folder`, or goes on with it. Raises `UserError` where it cannot run.

    `trial` makes what watches the search for a hyper-parameter search, and may give the run up.
    """
    check_arguments(OmegaConf.to_container(cfg, resolve=True))
    written = OmegaConf.to_yaml(cfg, resolve=True)
    clock = Clock(folder, RunStatus(folder))
    if cfg.measurement:
        measurement = instantiate(cfg.measurement)
        write_text(folder / "config.yaml", written)
        with clock.stage("measurement"):
            measured = {"measured": str(measurement.run(folder))}
        finish(
            folder, {"experiment": str(cfg.experiment), "seed": int(cfg.seed)} | measured | clock.summary()
        )
        return
    # Names are those of the configuration as it was given: the path of the table, set below, depends on the machine.
    group, name = run_hash(cfg, without=["seed"]), f"{run_hash(cfg)}-seed{cfg.seed}"
    names = {"group": f"{cfg.experiment}-{group}", "name": f"{cfg.experiment}-{name}"}
    parts = make_parts(cfg, folder)  # before the first file: a run that lacks something leaves no folder
    merged = OmegaConf.merge(OmegaConf.create(written), {"weak_labels": cfg.weak_labels})
    write_text(folder / "config.yaml", OmegaConf.to_yaml(merged, resolve=True))
    if cfg.search and cfg.take_over and not cfg.fresh:
        take_over(folder)
    try:
        finish(folder, _stages(cfg, folder, parts, clock, names, trial) | clock.summary())
    except PrunedError as reason:
        write_text(folder / PRUNED, f"{reason}\n")
        print(f"Given up: {reason}.")


def _stages(
    cfg: DictConfig, folder: Path, parts: Parts, clock: Clock, names: Mapping[str, str], trial: Trial | None
) -> dict[str, Any]:
    """Every stage that is not done yet; returns the summary."""
    space, limits, progress = parts.space, parts.limits, RunProgress(status=clock.status)
    # What sets the run apart, in the words of its user: W&B groups and filters by it.
    method = [override for override in method_overrides(folder) if override != f"experiment={cfg.experiment}"]
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    run_loggers = instantiate(cfg.logger, _partial_=True)(
        folder=folder,
        **names,
        job_type="search" if cfg.search else "supernet" if cfg.supernet else "train",
        tags=[*cfg.logger.get("tags", []), *(tag[:64] for tag in method)],  # W&B takes no longer ones
        config=config | {"method": ", ".join(method) or "default"},
        objective=objective_of(cfg),
    )
    identity = {"experiment": cfg.experiment, "seed": cfg.seed, "space": space.name}
    result: dict[str, Any] = {}
    known = known_values(cfg, parts.evaluator, limits)
    # Before anything is trained in vain.
    pool = None
    if parts.search and parts.evaluator:
        pool = parts.search.candidates.pool(space, limits, cfg.seed, parts.evaluator.archs())
    with run_loggers as loggers, progress:
        labels = None
        if cfg.supernet:
            labels = supernet_labels(cfg, folder, space, limits, progress, clock.stage, loggers)
            labels.save(folder / "weak_labels.parquet")
            result["weak_labels"] = label_quality(labels, space, *known, loggers)
        if pool:
            counted = counted_labels(cfg, folder, parts, pool, labels, progress, clock.stage)
            sources = label_sources(cfg, parts.labels, labels, counted)
            found = search(cfg, folder, parts, pool, sources, known, progress, loggers, clock, trial)
            with clock.stage("report"):
                result |= report(cfg, folder, parts, known, found, clock.seconds, loggers)
        if cfg.final:
            with clock.stage("final"):
                result["final"] = final.train(cfg, folder, result, progress, loggers)
        if cfg.export:
            with clock.stage("export"):
                result["export"] = final.export(cfg, folder, identity | result)
        uses = [("weak_labels", [Path(cfg.weak_labels_file)])] if cfg.weak_labels_file else []
        log_artifacts(loggers, artifacts_of_run(folder), uses)
    return identity | result


def assist(cfg: DictConfig, folder: Path) -> None:
    """The part of a run that the other processes of a launcher (`torchrun`, `srun`) take: whatever trains on images."""
    if cfg.supernet or cfg.final:
        parts = make_parts(cfg, folder)
        progress = RunProgress(Console(quiet=True))  # the first process tells how far the run is
        if cfg.supernet:
            supernet_labels(cfg, folder, parts.space, parts.limits, progress, lambda stage: nullcontext())
        if cfg.final:
            final_training(cfg).run(folder / "final")
