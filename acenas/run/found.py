"""The network that a run has found: how its full training is set up, and how it is opened again and told of.

Beside the pipeline, since the commands `acenas.final` and `acenas.export` open the networks of finished runs, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from acenas.errors import UserError
from acenas.evaluation.from_scratch import arch_folder
from acenas.images import ImageTask
from acenas.run.origins import origin_of_search, read_search, same_training
from acenas.spaces import SearchSpace
from acenas.training.final import FinalTraining, NetworkFacts, Origin, TrainedNetwork


def made(config: DictConfig, **arguments: Any) -> Any:
    """What `instantiate` makes; an error that the user can act on is raised as it is."""
    try:
        return instantiate(config, **arguments)
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise


def open_network(folder: Path, checkpoint: Path | None = None) -> tuple[DictConfig, TrainedNetwork]:
    """The network that the run in `folder` has trained, and the run's configuration.

    It is that of its final training, or else the one that its search returned, as it was trained while searching.

    Args:
        folder: of the run.
        checkpoint: weights to take instead, of a final training that may still be going on.

    Raises:
        UserError: where there is none.
    """
    if not (folder / "config.yaml").is_file():
        raise UserError(f"{folder} is no run's folder: there is no config.yaml in it")
    cfg = OmegaConf.load(folder / "config.yaml")
    assert isinstance(cfg, DictConfig)
    if not cfg.get("final") and "recipe" not in (cfg.get("evaluator") or {}):
        raise UserError(
            f"the run in {folder} has trained no network: it took accuracies from a table. Train what it returned with "
            f"experiment=final from_run={folder}"
        )
    if checkpoint is not None:
        if not cfg.get("final") or cfg.search:
            raise UserError(f"{folder} is no run of a final training alone, so it has no checkpoints of one")
        training = final_training(cfg)
        return cfg, TrainedNetwork.of(training.space, training.facts, checkpoint)
    if cfg.get("final"):
        return cfg, TrainedNetwork.load(folder / "final", made(cfg.space))
    summary, _ = read_search(folder)
    return cfg, searched_network(folder, made(cfg.space), made(cfg.images), cfg, summary)


def final_training(cfg: DictConfig, result: Mapping[str, Any] | None = None) -> FinalTraining:
    """How the network is trained that `cfg` names, or that the run's own search returned.

    Args:
        cfg: of the run.
        result: of the run's stages before.

    Raises:
        UserError: where it cannot be trained so.
    """
    if result is not None and "returned" in result:
        return cast(FinalTraining, made(cfg.final, arch=result["returned"]["arch"]))
    if not cfg.from_run:
        return cast(FinalTraining, made(cfg.final, arch=cfg.arch))
    summary, _ = read_search(Path(cfg.from_run))
    training: FinalTraining = made(cfg.final, arch=summary["returned"]["arch"])
    if summary["space"] != training.space.name:
        raise UserError(
            f"{cfg.from_run} searched the space {summary['space']}, and what is to be trained is of "
            f"{training.space.name}; choose a space of that name"
        )
    return training


def searched_network(
    folder: Path, space: SearchSpace, task: ImageTask, cfg: DictConfig, summary: Mapping[str, Any]
) -> TrainedNetwork:
    """The returned network of a search that trains from scratch, with the weights of that training."""
    returned = summary["returned"]
    arch = space.canonical(returned["arch"])
    how = f"{instantiate(cfg.recipe)} on {len(task.splits.train.labels)} images of {task.source.name}"
    accuracy = {"valid": returned["observed_accuracy"], "test": returned["test_accuracy"]}
    facts = replace(NetworkFacts.of(space, arch, task, how, cfg.evaluator.seed), accuracy=accuracy)
    return TrainedNetwork.of(space, facts, arch_folder(folder / "trained", arch) / "weights.pt")


def origin_of(cfg: DictConfig, folder: Path, summary: Mapping[str, Any], facts: NetworkFacts) -> Origin:
    """How the network of a run was found, and its accuracies with other seeds."""
    origin = Origin()
    if cfg.get("from_run"):
        origin = origin_of_search(*read_search(Path(cfg.from_run)))
    elif cfg.search:
        config = OmegaConf.to_container(cfg, resolve=True)
        assert isinstance(config, dict)
        origin = origin_of_search(summary, {str(key): value for key, value in config.items()})
    return replace(origin, seeds=same_training(facts, folder) if cfg.get("final") else {})
