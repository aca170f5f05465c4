"""Before the first stage: makes the objects that the configuration names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from acenas.errors import shortened
from acenas.evaluation import Evaluator
from acenas.images import ImageTask
from acenas.ranker import Ranker
from acenas.report.identity import Identity, Named, identity, read_identity
from acenas.run.config import AUTO, choice_of, instantiate, instantiate_in, objective_of
from acenas.run.networks import final_training
from acenas.run.parts import Parts
from acenas.run.stages.candidates import costs_of_search
from acenas.run.stages.labels import labels_by_default, labels_from_elsewhere
from acenas.search import Search
from acenas.search.loop import check_repeats
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
    search: Search | None = instantiate(_search_of(cfg)) if cfg.search else None
    ranker: Ranker | None = instantiate(cfg.ranker, space) if cfg.search else None
    evaluator: Evaluator | None = (
        instantiate_in(choice_of(cfg, "evaluator"), folder / "trained") if cfg.search else None
    )
    if search is not None and evaluator is not None:
        check_repeats(search, evaluator)
    costs = costs_of_search(cfg, space, task, table, evaluator)
    return Parts(space, task, table, labels, search, ranker, evaluator, costs)


def _search_of(cfg: DictConfig) -> DictConfig:
    """The search; without a budget of trainings its class has some, and the study says how many its epochs allow."""
    choice = choice_of(cfg, "search")
    if choice.budget is None:
        choice.pop("budget")
    return choice


def name_run(cfg: DictConfig, folder: Path, task: str, named: Named | None) -> Identity:
    """What the run in `folder` is called, which is written there; `named` as in `acenas.run.pipeline.run`."""
    sources = HydraConfig.get().runtime.config_sources if HydraConfig.initialized() else []
    before = read_identity(folder)
    if named is None and before is not None and before.benchmark:  # it stays one of the benchmark
        named = before.method, before.task
    own = [f"--config-dir={source.path}" for source in sources if source.provider == "command-line"]
    who = identity(folder, cfg.experiment, task, cfg.seed, own, named)
    who.write(folder)
    return who


def loggers_of(cfg: DictConfig, folder: Path, who: Identity, hashes: Mapping[str, str]) -> Any:
    """The loggers of a run, a context: they close when it ends. `hashes`: `hash` and `hash_without_seed` of `cfg`."""
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    # W&B takes no tags that are longer, and no names beyond `_name`.
    told = {"method": who.method, "task": who.task, "version": who.version, "commit": who.commit}
    return instantiate(cfg.logger, _partial_=True)(
        folder=folder,
        group=_name(who.title, hashes["hash_without_seed"]),
        name=_name(f"{who.title}, seed {who.seed}", hashes["hash"]),
        notes=f"{who.command}\n{who.code}",
        job_type="search" if cfg.search else "supernet" if cfg.supernet else "train",
        tags=[*cfg.logger.get("tags", []), *(shortened(tag, 64) for tag in who.words)],
        config=config | hashes | told,
        objective=objective_of(cfg),
    )


def _name(words: str, unlike: str) -> str:
    """What W&B calls a run or a group: the words, shortened where it takes no more, and then with what none shares."""
    return words if len(words) <= 128 else f"{shortened(words, 115)} ({unlike})"
