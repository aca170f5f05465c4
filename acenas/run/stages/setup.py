"""Before the first stage: makes the objects that the configuration names."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from acenas.evaluation import Evaluator
from acenas.images import ImageTask
from acenas.ranker import Ranker
from acenas.run.config import AUTO, choice_of, instantiate, instantiate_in
from acenas.run.networks import final_training
from acenas.run.parts import Parts
from acenas.run.stages.candidates import cost_limits
from acenas.run.stages.labels import labels_by_default, labels_from_elsewhere
from acenas.search import Search
from acenas.spaces import SearchSpace
from acenas.tables import BenchmarkTable, find_table


def make_parts(cfg: DictConfig, folder: Path) -> Parts:
    """Makes the parts of the run in `folder`; puts the file of the table and the names of labels into `cfg`.

    Raises:
        UserError: Where something is wrong or missing, so that it does not cost a super-net or a search.
    """
    if cfg.table:
        cfg.table.path = str(find_table(cfg.table.path, cfg.data_dir))
    space: SearchSpace = instantiate(cfg.space)
    task: ImageTask | None = instantiate(cfg.images) if cfg.images else None
    if task:
        space.check_images(task.splits.num_classes, task.splits.image_shape)
    table = BenchmarkTable.open(cfg.table.path, space=cfg.table.space) if cfg.table and cfg.search else None
    if cfg.weak_labels == AUTO:
        cfg.weak_labels = labels_by_default(cfg, space, task) if cfg.search else []
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
