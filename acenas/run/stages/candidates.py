"""Which architectures a search can choose: those of the table or the space that keep the constraints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from acenas.errors import UserError
from acenas.evaluation import Evaluator, TableEvaluator
from acenas.evaluation.costs import CostModel, CountedCosts, LatencyPredictor, TableCosts
from acenas.images import ImageTask
from acenas.run.config import COUNTED_COSTS, constraints_of
from acenas.search import Candidates
from acenas.search.candidates import list_space
from acenas.search.constraints import Limits
from acenas.seeds import torch_generator
from acenas.spaces import SearchSpace
from acenas.tables import BenchmarkTable

if TYPE_CHECKING:
    from acenas.run.parts import Parts


@dataclass(frozen=True)
class Choices:
    """What a search can choose.

    Attributes:
        listed: All architectures, with those that fail the constraints; None where the space is too large to list.
        archs: Those that can be chosen from the beginning; a sample where the space is too large to list.
    """

    listed: Sequence[str] | None
    archs: Sequence[str]


def cost_limits(
    cfg: DictConfig,
    space: SearchSpace,
    task: ImageTask | None,
    table: BenchmarkTable | None,
    evaluator: Evaluator | None,
) -> Limits | None:
    """The constraints of the search with a cost model for each; None where there are none.

    Raises:
        UserError: Where nothing tells a cost.
    """
    at_most = constraints_of(cfg)
    models = [_cost_model(name, cfg, space, task, table, evaluator) for name in at_most]
    return Limits(at_most, models) if at_most else None


def _cost_model(
    name: str,
    cfg: DictConfig,
    space: SearchSpace,
    task: ImageTask | None,
    table: BenchmarkTable | None,
    evaluator: Evaluator | None,
) -> CostModel:
    """Latencies measured and given as a file, else the table, else costs counted on networks for the run's images."""
    if cfg.latency_file and name.startswith("latency_ms"):
        return LatencyPredictor.from_file(cfg.latency_file, space, name)
    columns: list[str] = []
    if table is not None:
        columns = [column for column in table.columns if column.startswith(f"{cfg.table.dataset}.")]
        if f"{cfg.table.dataset}.{name}" in columns and isinstance(evaluator, TableEvaluator):
            return TableCosts(table, cfg.table.dataset, name)
    if task and name in COUNTED_COSTS:
        return CountedCosts(space, task.splits.num_classes, task.splits.image_shape, name)
    costs = [column.split(".", 1)[1] for column in columns]
    known = [cost for cost in costs if cost.startswith((*COUNTED_COSTS, "latency_ms"))]
    raise UserError(
        f"search.constraints: nothing here tells {name}; "
        + (f"the table has {', '.join(known)}" if known else "the run has no table with costs")
        + "; latencies can be measured with python -m acenas.latency and given as latency_file=FILE, and what can "
        "be counted needs images=..."
    )


def within(limits: Limits | None, archs: Sequence[str]) -> NDArray[np.bool_]:
    """`[A]`: which of `archs` keep the constraints; all of them where there are none."""
    return limits.within(archs) if limits else np.ones(len(archs), np.bool_)


def known_values(
    cfg: DictConfig, evaluator: Evaluator | None, limits: Limits | None
) -> tuple[list[str], NDArray[np.float64]]:
    """What the table, or else the evaluator, knows of the space, observed, as far as it keeps the constraints.

    For metrics beside the search, never for its choices.

    Returns:
        Architectures, and `[A]` values of the objective.
    """
    table = cfg.table
    if not table:
        return keep(limits, *evaluator.known()) if evaluator else ([], np.zeros(0))
    if not isinstance(evaluator, TableEvaluator):
        evaluator = TableEvaluator(table.path, table.space, table.observed)
    return keep(limits, *evaluator.known())


def keep(
    limits: Limits | None, archs: Sequence[str], values: NDArray[np.float64]
) -> tuple[list[str], NDArray[np.float64]]:
    """The architectures that keep the constraints, with their values: what a search is compared with."""
    kept = within(limits, archs)
    return [arch for arch, fits in zip(archs, kept.tolist(), strict=True) if fits], values[kept]


def sample_within(space: SearchSpace, limits: Limits, count: int, seed: int) -> list[str]:
    """`count` architectures with different functions that keep the constraints, for a super-net to label.

    Raises:
        UserError: Where fewer are found.
    """
    found = Candidates(samples=count).sample(space, limits.within, seed)
    if len(found) < count:
        raise UserError(
            f"score: only {len(found)} different architectures of {space.name} with {limits} were found, "
            f"fewer than scoring.archs={count}; choose fewer, or higher limits"
        )
    return found


def choices(parts: Parts, seed: int) -> Choices:
    """What a search can choose from the beginning.

    Raises:
        UserError: Where no architecture keeps the constraints.
    """
    assert parts.search is not None and parts.evaluator is not None
    space, limits = parts.space, parts.limits
    # An evaluator that knows nothing beforehand trains from scratch: then all of the space can be chosen.
    listed = parts.evaluator.archs() or list_space(space)
    if listed is None:
        archs = parts.search.candidates.sample(space, lambda drawn: within(limits, drawn), seed)
    else:
        archs = keep(limits, listed, np.zeros(len(listed)))[0]
    if limits and not archs:
        raise limits.nothing_left(listed or space.sample(10_000, torch_generator(seed, "candidates")))
    return Choices(listed, archs)
