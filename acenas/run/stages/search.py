"""The stage of the search: pretrains the ranker, then runs the rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger

from acenas.report.live import RankingMetrics, RoundTable, RunProgress
from acenas.run.folder import Clock
from acenas.run.stages.candidates import Choices, within
from acenas.run.stages.labels import label_values, pretraining_archs
from acenas.search import SearchResult, Study, run_study
from acenas.search.events import SearchCallback
from acenas.tables import WeakLabels

if TYPE_CHECKING:
    from acenas.run.parts import Parts

Trial = Callable[[RankingMetrics], SearchCallback]
"""Makes what watches the search for a hyper-parameter search, and may give the run up."""


def search(
    cfg: DictConfig,
    folder: Path,
    parts: Parts,
    choices: Choices,
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
        choices: What can be chosen.
        sources: The labels to pretrain on.
        known: Architectures and observed accuracies `[A]`, percent: for metrics beside the search.
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
            archs = pretraining_archs(cfg, space, choices, sources)
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
        metrics = RankingMetrics(*known, loggers)
        study = Study(
            space,
            None,
            folder,
            cfg.seed,
            search=rounds,
            ranker=ranker,
            archs=choices.archs,
            pretrained=bool(sources),
            within=(lambda archs: within(parts.limits, archs)) if choices.listed is None else None,
        )
        callbacks = [metrics, RoundTable(metrics), progress, *([trial(metrics)] if trial else [])]
        return run_study(study, evaluator, callbacks)
