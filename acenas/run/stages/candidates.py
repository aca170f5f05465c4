"""Which architectures a search can choose: those of the table or the space that keep the constraints."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from acenas.errors import SLIP, UserError, near
from acenas.evaluation import Evaluator, TableEvaluator
from acenas.evaluation.command import CommandEvaluator, FunctionEvaluator
from acenas.evaluation.costs import CostModel, CountedCosts, LatencyPredictor, TableCosts
from acenas.images import ImageTask
from acenas.run.config import (
    COUNTED_COSTS,
    cost_column,
    costs_in,
    flat_constraints,
    flat_front,
    unknown_cost,
)
from acenas.search import Candidates
from acenas.search.costs import Costs
from acenas.spaces import SearchSpace
from acenas.tables import BenchmarkTable


def costs_of_search(
    cfg: DictConfig,
    space: SearchSpace,
    task: ImageTask | None,
    table: BenchmarkTable | None,
    evaluator: Evaluator | None,
) -> Costs:
    """The constraints of the search and its front, with a cost model for each.

    Raises:
        UserError: Where nothing tells a cost.
    """
    names = costs_in(cfg)
    made = (_cost_model(name, cfg, space, task, table, evaluator) for name in names)
    models = [model for model in made if model is not None]
    search = cfg.search or {}
    return Costs(
        flat_constraints(search.get("constraints") or {}),
        models,
        flat_front(search.get("front") or ()),
        search.get("missing_costs", "leave_out"),
    )


def _cost_model(
    name: str,
    cfg: DictConfig,
    space: SearchSpace,
    task: ImageTask | None,
    table: BenchmarkTable | None,
    evaluator: Evaluator | None,
) -> CostModel | None:
    """Latencies measured and given as a file, else the table, else costs counted on networks for the run's images.

    None for a cost of the front that is known after a training only.
    """
    if cfg.latency_file and name.startswith("latency_ms"):
        return LatencyPredictor.from_file(cfg.latency_file, space, name)
    columns = [] if table is None else table.columns
    if table is not None and isinstance(evaluator, TableEvaluator):
        column = cost_column(cfg, name, columns)
        if column is not None:
            return TableCosts(table, column, name)
    if task and name in COUNTED_COSTS:
        return CountedCosts(space, task.splits.num_classes, task.splits.image_shape, name)
    is_own = isinstance(evaluator, CommandEvaluator | FunctionEvaluator)
    after = name == "seconds" or (is_own and not near(name, [*COUNTED_COSTS, "latency_ms"], SLIP))
    if after and costs_in(cfg)[name] == "search.front":
        return None
    raise unknown_cost(cfg, name, columns)


def known_values(
    cfg: DictConfig, evaluator: Evaluator | None, costs: Costs
) -> tuple[list[str], NDArray[np.float64]]:
    """What the table, or else the evaluator, knows of the space, observed, as far as it keeps the constraints.

    For metrics beside the search, never for its choices.

    Returns:
        Architectures, and `[A]` values of the objective.
    """
    table = cfg.table
    if not table:
        return keep(costs, *evaluator.known()) if evaluator else ([], np.zeros(0))
    if not isinstance(evaluator, TableEvaluator):
        evaluator = TableEvaluator(table.path, table.space, table.observed)
    return keep(costs, *evaluator.known())


def keep(
    costs: Costs, archs: Sequence[str], values: NDArray[np.float64]
) -> tuple[list[str], NDArray[np.float64]]:
    """The architectures that keep the constraints, with their values: what a search is compared with."""
    kept = costs.within(archs)
    return [arch for arch, fits in zip(archs, kept.tolist(), strict=True) if fits], values[kept]


def sample_within(space: SearchSpace, costs: Costs, count: int, seed: int) -> list[str]:
    """`count` architectures with different functions that keep the constraints, for a super-net to label.

    Raises:
        UserError: Where fewer are found.
    """
    found = Candidates(samples=count).sample(space, costs.within, seed)
    if len(found) < count:
        raise UserError(
            f"score: only {len(found)} different architectures of {space.name} with {costs} were found, "
            f"fewer than scoring.archs={count}; choose fewer, or higher limits"
        )
    return found
