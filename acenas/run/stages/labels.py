"""The stage of weak labels: of a super-net of this run, a file of another run, the table, or counted on networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import reduce
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger
from torch import Tensor

from acenas.errors import UserError
from acenas.evaluation.labels import (
    SCORES,
    check_counted,
    counted_by_default,
    informative,
    measure_of,
    own_function,
    weak_labels,
)
from acenas.images import ImageTask
from acenas.ranking import kendall
from acenas.report.live import RunProgress
from acenas.run.config import instantiate, weak_label_columns, weak_label_names
from acenas.run.parts import Parts
from acenas.run.stages.candidates import sample_within
from acenas.search.candidates import Pool, list_space
from acenas.search.costs import Costs
from acenas.search.earlier import earlier_ranking
from acenas.spaces import SearchSpace
from acenas.supernet import Scoring, SupernetTraining
from acenas.supernet.scoring import LABELS
from acenas.tables import BenchmarkTable, WeakLabels
from acenas.tables.weak_labels import COUNTED_PROVENANCE


def labels_by_default(cfg: DictConfig, space: SearchSpace, task: ImageTask | None) -> list[str]:
    """The labels of a run whose table names none: those of its super-net, else what can be counted on networks."""
    if cfg.supernet and task:
        return [*LABELS, *cost_names(task.source.name)]
    return counted_by_default(space, task)


def labels_from_elsewhere(
    cfg: DictConfig, space: SearchSpace, task: ImageTask | None, table: BenchmarkTable | None
) -> dict[str, WeakLabels]:
    """The labels to pretrain on that this run does not make itself, from the file or the table that has them.

    They are read before anything is trained, so that a wrong name does not cost a super-net. Those of earlier searches
    come first; their names are put into `cfg`.

    Raises:
        UserError: Where a label is in neither, and is not made here.
    """
    made = [*LABELS, *cost_names(task.source.name)] if cfg.supernet and task else []
    names = [name for name in weak_label_names(cfg) if name not in made]
    earlier = [earlier_ranking(folder, space) for folder in cfg.weak_labels_from or ()]
    found = {name: labels for labels in earlier for name in labels.names}
    if found:
        cfg.weak_labels = [*found, *weak_label_names(cfg)]
    if cfg.weak_labels_file:
        labels = WeakLabels.load(cfg.weak_labels_file, space=space.name)
        found |= {name: labels for name in names if name in labels.names}
    columns = {name: weak_label_columns(cfg)[name] for name in names if name not in found}
    counted = [name for name in columns if _is_counted(name, task)]
    if table is not None:
        counted = [name for name in counted if columns[name] not in table.columns]
        columns = {name: column for name, column in columns.items() if name not in counted}
        if columns:
            found |= dict.fromkeys(columns, WeakLabels.from_table(table, list(columns), columns))
    elif unknown := [name for name in columns if name not in counted]:
        there = [*made, *found, "params_m", "macs_m", "flops_m", *(f"weak.{score}" for score in SCORES)]
        raise UserError(
            f"weak_labels: there is no {unknown[0]}; choose from {', '.join(there)}, name a function, as in "
            "module.function, or name a table"
        )
    if any(measure_of(name) for name in counted):
        check_counted(space, task)
    return found


def _is_counted(name: str, task: ImageTask | None) -> bool:
    return bool(measure_of(name, task.source.name if task else None) or own_function(name))


def counted_labels(
    cfg: DictConfig,
    folder: Path,
    parts: Parts,
    pool: Pool,
    supernet: WeakLabels | None,
    progress: RunProgress,
    stage: Callable[[str], AbstractContextManager[None]],
) -> dict[str, WeakLabels]:
    """Counts the labels that come from nowhere else, as far as `folder` does not hold them yet.

    Returns:
        By the name in the configuration what can be learned from: labels that differ between architectures.
    """
    others = {*parts.labels, *(supernet.names if supernet else ())}
    names = [name for name in weak_label_names(cfg) if name not in others]
    if not names:
        return {}
    space, listed = parts.space, pool.listed
    archs = pool.archs if listed is None else [listed[i] for i in space.distinct(listed)]
    with stage("weak_labels"):
        counted = {
            name: informative(
                weak_labels(
                    space,
                    archs,
                    name,
                    folder / "labels",
                    seed=cfg.seed,
                    images=parts.task,
                    limit=cfg.weak_label_samples,
                    progress=progress.chunks(f"weak label {name}"),
                )
            )
            for name in names
        }
        if supernet is None:
            first, *rest = counted.values()
            reduce(WeakLabels.beside, rest, first).save(folder / "weak_labels.parquet")
    return counted


def label_sources(
    cfg: DictConfig,
    elsewhere: Mapping[str, WeakLabels],
    supernet: WeakLabels | None,
    counted: Mapping[str, WeakLabels],
) -> dict[str, WeakLabels]:
    """For each label to pretrain on the frame that holds it: `elsewhere` what is there, else that of this run."""
    found: dict[str, WeakLabels] = {}
    for name in weak_label_names(cfg):
        if name in counted:
            found |= dict.fromkeys(counted[name].names, counted[name])
        elif (labels := elsewhere.get(name, supernet)) is not None:
            found[name] = labels
    return found


def supernet_labels(
    cfg: DictConfig,
    folder: Path,
    space: SearchSpace,
    costs: Costs,
    progress: RunProgress,
    stage: Callable[[str], AbstractContextManager[None]],
    loggers: Sequence[Logger] = (),
) -> WeakLabels:
    """Trains the super-net and scores the space with it, as far as `folder` does not hold that yet.

    Returns:
        Accuracy and loss of each path, with FLOPs and parameters.
    """
    training: SupernetTraining = instantiate(cfg.supernet)
    scoring: Scoring = instantiate(cfg.scoring)
    if costs.at_most and isinstance(scoring.archs, int):
        scoring = replace(scoring, archs=sample_within(space, costs, scoring.archs, cfg.scoring.seed))
    with stage("supernet"):
        network = training.run(folder / "supernet", [progress], loggers)
    with stage("score"):
        scored = scoring.run(network, folder / "score", training.description, progress.chunks("scoring"))
        return scored.beside(counted_costs(space, scored.archs, training.task))


def cost_names(source: str) -> list[str]:
    """The labels of `counted_costs` for images of `source`."""
    return [f"{source}.params_m", f"{source}.flops_m"]


def counted_costs(space: SearchSpace, archs: Sequence[str], task: ImageTask) -> WeakLabels:
    """Parameters and FLOPs in millions, counted on the networks for the images of `task`."""
    splits, names = task.splits, cost_names(task.source.name)
    costs = space.costs(archs, splits.num_classes, splits.image_shape)
    values = np.array([(cost.params_m, cost.flops_m) for cost in costs]).reshape(-1, 2)
    return WeakLabels(space.name, archs, names, values, dict.fromkeys(names, COUNTED_PROVENANCE))


def label_quality(
    labels: WeakLabels,
    space: SearchSpace,
    archs: Sequence[str],
    accuracy: NDArray[np.float64],
    loggers: Sequence[Logger],
) -> dict[str, dict[str, float]]:
    """How well each label ranks the connected architectures that have it and are known; also logged as `score/...`.

    Args:
        labels: The labels.
        space: Tells which architectures are connected.
        archs: Those whose accuracy is known.
        accuracy: `[A]`, observed, percent.
        loggers: Where Kendall's tau goes.
    """
    connected = [i for i, arch in enumerate(archs) if space.connected(arch)]
    known, quality = accuracy[connected], {}
    for name, column in zip(labels.names, labels.values([archs[i] for i in connected]).T, strict=True):
        both = np.isfinite(column) & np.isfinite(known)
        if both.sum() > 1:
            tau = kendall(torch.from_numpy(column[both]), torch.from_numpy(known[both]))
            quality[name] = {"kendall": tau, "architectures": int(both.sum())}
    for logger in loggers:
        logger.log_metrics({f"score/{name}_kendall": value["kendall"] for name, value in quality.items()})
    return quality


def pretraining_archs(
    cfg: DictConfig, space: SearchSpace, pool: Pool, sources: Mapping[str, WeakLabels]
) -> Sequence[str]:
    """What to pretrain on: the space, or where that is too large to list, everything that has a label."""
    archs = pool.listed
    # A table may know only a part of a space, and a file or a super-net may label more of it.
    measured = cfg.supernet or cfg.weak_labels_file
    if not archs or (measured and list_space(space) is None):
        archs = list(dict.fromkeys(arch for labels in sources.values() for arch in labels.archs))
    # A super-net labels the names of one function differently, and some functions have many names.
    return [archs[i] for i in space.distinct(archs)] if cfg.pretrain_on == "functions" else archs


def label_values(sources: Mapping[str, WeakLabels], archs: Sequence[str]) -> Tensor:
    """`[A, L]` float64: the labels to pretrain on, NaN where one is missing."""
    columns = [labels.values(archs)[:, labels.names.index(name)] for name, labels in sources.items()]
    return torch.from_numpy(np.stack(columns, axis=1))
