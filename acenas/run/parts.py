"""The objects that a configuration names, made once for all stages of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from acenas.evaluation import Evaluator
from acenas.images import ImageTask
from acenas.ranker import Ranker
from acenas.run.config import choice_of, instantiate, instantiate_in
from acenas.run.networks import final_training
from acenas.run.stages.candidates import cost_limits
from acenas.run.stages.labels import labels_from_elsewhere
from acenas.search import Search
from acenas.search.constraints import Limits
from acenas.spaces import SearchSpace
from acenas.tables import BenchmarkTable, WeakLabels, find_table


@dataclass(frozen=True)
class Parts:
    """What the stages of a run work with.

    Attributes:
        space: The search space.
        task: The images that networks are trained on; None for none.
        table: The benchmark table, for weak labels and costs; None where there is none or no search.
        labels: The weak labels to pretrain on that the run's super-net does not make, by name.
        search: The rounds; None for no search, as the ranker and the evaluator.
        ranker: Scores architectures.
        evaluator: The only way to an observed accuracy.
        limits: The constraints of the search; None for none.
    """

    space: SearchSpace
    task: ImageTask | None
    table: BenchmarkTable | None
    labels: dict[str, WeakLabels]
    search: Search | None
    ranker: Ranker | None
    evaluator: Evaluator | None
    limits: Limits | None


def make_parts(cfg: DictConfig, folder: Path) -> Parts:
    """Makes the parts of the run in `folder`, and puts the file of the table into `cfg`.

    Raises:
        UserError: Where something is wrong or missing, so that it does not cost a super-net or a search.
    """
    if cfg.table:
        cfg.table.path = str(find_table(cfg.table.path, cfg.data_dir))
    space: SearchSpace = instantiate(cfg.space)
    task: ImageTask | None = instantiate(cfg.images) if cfg.images else None
    table = BenchmarkTable.open(cfg.table.path, space=cfg.table.space) if cfg.table and cfg.search else None
    labels = labels_from_elsewhere(cfg, space, task, table) if cfg.search else {}
    if cfg.final and not cfg.search:
        final_training(cfg)
    if cfg.export:
        instantiate(cfg.export)
    search: Search | None = instantiate(choice_of(cfg, "search")) if cfg.search else None
    ranker: Ranker | None = instantiate(cfg.ranker, space) if cfg.search else None
    evaluator: Evaluator | None = (
        instantiate_in(choice_of(cfg, "evaluator"), folder / "trained") if cfg.search else None
    )
    limits = cost_limits(cfg, space, task, table, evaluator)
    return Parts(space, task, table, labels, search, ranker, evaluator, limits)
