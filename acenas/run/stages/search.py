"""The stage of the search: pretrains the ranker, then runs the rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger

from acenas.errors import UserError
from acenas.evaluation.objective import Objective
from acenas.report.live import RankingMetrics, RoundTable, RunProgress
from acenas.run.config import objective_of
from acenas.run.folder import Clock
from acenas.run.parts import Parts
from acenas.run.stages.labels import label_values, pretraining_archs
from acenas.search import SearchResult, Study, run_study
from acenas.search.candidates import Pool
from acenas.search.events import SearchCallback
from acenas.search.inputs import frame_of
from acenas.tables import WeakLabels

Trial = Callable[[RankingMetrics], SearchCallback]
"""Makes what watches the search for a hyper-parameter search, and may give the run up."""


def search(
    cfg: DictConfig,
    folder: Path,
    parts: Parts,
    pool: Pool,
    sources: Mapping[str, WeakLabels],
    known: tuple[Sequence[str], NDArray[np.float64]],
    progress: RunProgress,
    loggers: Sequence[Logger],
    clock: Clock,
    trial: Trial | None = None,
) -> SearchResult:
    """Pretrains and searches, or goes on with it.

    Args:
        cfg: The configuration.
        folder: Of the run.
        parts: Those of a run with a search.
        pool: What can be chosen.
        sources: The labels to pretrain on.
        known: Architectures and their observed values `[A]`: for metrics beside the search.
        progress: The bar.
        loggers: Where metrics go.
        clock: Measures both stages.
        trial: Of a hyper-parameter search.
    """
    space, rounds, ranker, evaluator = parts.space, parts.search, parts.ranker, parts.evaluator
    assert rounds is not None and ranker is not None and evaluator is not None
    with clock.stage("pretrain"):
        done = folder / "pretrain" / "ranker.pt"
        if sources and done.exists():
            ranker.load(done)
        elif sources:
            archs = pretraining_archs(cfg, space, pool, sources)
            progress.say(f"Pretraining the ranker on {len(archs):,} architectures and {', '.join(sources)}.")
            ranker.pretrain(
                space.canonical_graphs(archs),
                label_values(sources, archs),
                label_names=list(sources),
                folder=done.parent,
                callbacks=[progress],
                loggers=loggers,
            )
            ranker.save(done)
    with clock.stage("search"):
        metrics = RankingMetrics(*known, loggers, parts.costs)
        study = Study(
            space,
            cfg.search.budget,
            folder,
            cfg.seed,
            objective=objective_of(cfg),
            search=rounds,
            ranker=ranker,
            archs=pool,
            constraints=parts.costs,
            pretrained=bool(sources),
            budget_epochs=cfg.search.get("budget_epochs"),
            epochs=evaluator.epochs,
        )
        callbacks = [metrics, RoundTable(metrics), progress, *([trial(metrics)] if trial else [])]
        if cfg.search.get("given") and not study.state.last_round and study.state.given.empty:
            study.give(given(cfg, study.objective))
        return run_study(
            study,
            evaluator,
            callbacks,
            attempts=cfg.evaluator.get("attempts", 1),
            stop_on_failure=cfg.evaluator.get("on_failure") == "stop",
        )


def given(cfg: DictConfig, objective: Objective) -> pd.DataFrame:
    """What was trained elsewhere, from the file `search.given`: architectures (or a column per choice) and values.

    `search.given_columns` names the file's own columns, as in `{arch: cell, accuracy: top1}`.

    Raises:
        UserError: Where the file cannot be read or lacks a column.
    """
    file, columns = cfg.search.given, cfg.search.get("given_columns") or {}
    names = {theirs: ours for ours, theirs in columns.items()}
    frame = frame_of(file, columns.get("arch", "arch"))
    if lacking := [name for name in names if name not in frame]:
        raise UserError(
            f"search.given={file} has no column {lacking[0]}; it has {', '.join(map(str, frame))}"
        )
    return frame.rename(columns={objective.column: objective.name} | names)
