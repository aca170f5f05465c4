"""The networks that runs have trained: how the final training is set up, and how a trained network is opened."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from hydra import compose
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from acenas.errors import UserError
from acenas.evaluation.jobs import arch_folder
from acenas.evaluation.objective import Objective
from acenas.files import reading
from acenas.images import ImageTask
from acenas.report import runs
from acenas.report.identity import given_overrides, key_of
from acenas.run.config import (
    composing,
    conf_dir,
    config_in,
    instantiate,
    search_path,
    trains_architectures,
)
from acenas.run.origins import found, origin_of_search, read_search, same_training
from acenas.spaces import SearchSpace
from acenas.training.final import FinalTraining, NetworkFacts, Origin, TrainedNetwork
from acenas.trust import build

Make = Callable[..., Any]
"""Makes what a part of a configuration describes by `_target_`; further arguments by name."""


def from_folder(trust: Sequence[str]) -> Make:
    """Makes parts of the configuration in a folder, which may be a stranger's, see `acenas.trust`."""

    def make(config: Any, **named: Any) -> Any:
        plain = OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else config
        return build(plain, trust, **named)

    return make


def open_network(
    folder: Path, checkpoint: Path | None = None, trust: Sequence[str] = ()
) -> tuple[DictConfig, TrainedNetwork]:
    """The network that the run in `folder` has trained, and the run's configuration.

    Args:
        folder: Of the run.
        checkpoint: Weights to take instead, of a final training that may still be going on.
        trust: Modules of others that the configuration may name.

    Raises:
        UserError: Where there is none.
    """
    cfg = config_in(folder)
    with reading(folder / runs.CONFIG, "name a run of this version"):
        return cfg, _open(cfg, folder, checkpoint, from_folder(trust))


def _open(cfg: DictConfig, folder: Path, checkpoint: Path | None, make: Make) -> TrainedNetwork:
    if not cfg.get("final") and not trains_architectures(cfg):
        raise UserError(
            f"the run in {folder} has trained no network: it took accuracies from a table. Train what it returned with "
            f"experiment=final from_run={folder}"
        )
    if checkpoint is None:
        return trained_network(cfg, folder, {} if cfg.get("final") else read_search(folder)[0], make)
    if not cfg.get("final") or cfg.search:
        raise UserError(f"{folder} is no run of a final training alone, so it has no checkpoints of one")
    training = final_training(cfg, make=make)
    return TrainedNetwork.of(training.space, training.facts, checkpoint)


def trained_network(
    cfg: DictConfig, folder: Path, summary: Mapping[str, Any], make: Make = instantiate
) -> TrainedNetwork:
    """The network of the final training, or else the one that the search trained and returned.

    Args:
        cfg: Of the run.
        folder: Of the run.
        summary: Of the run's search.
        make: Makes its parts.
    """
    space: SearchSpace = make(cfg.space)
    if cfg.get("final"):
        return TrainedNetwork.load(folder / "final", space)
    task: ImageTask = make(cfg.images)
    returned = summary["returned"]
    arch = space.canonical(returned["arch"])
    how = f"{make(cfg.recipe)} on {len(task.splits.train.labels)} images of {task.source.name}"
    name = Objective.of(summary.get("objective", "accuracy")).name
    shown = {"valid": returned[f"observed_{name}"], "test": returned[f"test_{name}"]}
    accuracy = {
        part: value for part, value in shown.items() if value is not None
    }  # nobody may know a test value
    facts = replace(NetworkFacts.of(space, arch, task, how, cfg.evaluator.seed), accuracy=accuracy)
    return TrainedNetwork.of(space, facts, arch_folder(folder / "trained", arch) / "weights.pt")


def final_training(
    cfg: DictConfig, result: Mapping[str, Any] | None = None, make: Make = instantiate
) -> FinalTraining:
    """How the network is trained that `cfg` names, or that the run's own search returned.

    Args:
        cfg: Of the run.
        result: Of the run's stages before.
        make: Makes its parts.

    Raises:
        UserError: Where it cannot be trained so.
    """
    if result is not None and "returned" in result:
        return cast(FinalTraining, make(cfg.final, arch=found(result, cfg.get("search_member"))["arch"]))
    if not cfg.from_run:
        return cast(FinalTraining, make(cfg.final, arch=cfg.arch))
    summary, _ = read_search(Path(cfg.from_run))
    training: FinalTraining = make(
        cfg.final, arch=found(summary, cfg.get("search_member"), cfg.from_run)["arch"]
    )
    if summary["space"] != training.space.name:
        raise UserError(
            f"{cfg.from_run} searched the space {summary['space']}, and what is to be trained is of "
            f"{training.space.name}; choose a space of that name"
        )
    return training


ANY_ARCHITECTURE = 'arch="ARCHITECTURE"'
"""The override of `final_command` that says what is trained."""


def member_command(command: str, folder: Path) -> str:
    """Of `final_command` the one that trains a member of the front of the run in `folder`, `MEMBER` in its place."""
    which = shlex.join([f"from_run={folder}", "search_member=MEMBER"])
    return command.replace(shlex.quote(ANY_ARCHITECTURE), which)


def final_command(cfg: DictConfig, folder: Path, space: SearchSpace, arch: str) -> str:
    """The command that trains an architecture of a run's space, with `ARCHITECTURE` in its place.

    It trains on the images of the run, or on those that its table is of.

    Args:
        cfg: Of the run.
        folder: Of the run, whose overrides are there.
        space: Of the run.
        arch: One of its architectures.

    Returns:
        A command for a shell; empty where such images are no choice, or the space builds no networks.
    """
    try:
        space.build(arch, 10)
        with composing():
            asked = _final_overrides(cfg, given_overrides(folder))
    except (HydraException, OmegaConfBaseException, UserError):
        return ""
    command = ["python", "-m", "acenas", "experiment=final", *(asked or []), ANY_ARCHITECTURE]
    return "" if asked is None else shlex.join(command)


def _final_overrides(cfg: DictConfig, given: Sequence[str]) -> list[str] | None:
    """What `experiment=final` needs besides, to train in the space of `cfg`, a run of the overrides `given`.

    None where the images are not known, or the space cannot be described so.
    """
    where = [each for each in given if key_of(each) == "hydra.searchpath"] or search_path()
    choices = compose("config", [*where, *given], return_hydra_config=True).hydra.runtime.choices
    where += [each for each in given if key_of(each) == "data_dir"]
    space, images = choices["space"], choices["images"]
    groups = ["space", "images"] if cfg.images else ["space"]
    if not cfg.images:
        images = str(cfg.table.observed).split(".")[0] if cfg.table else ""
        if not _choice("images", images).exists():
            return None
        if _choice(
            "space", f"{space}_{images}"
        ).exists():  # smaller networks than its own, as that table is of
            space, groups = f"{space}_{images}", []
    chosen = {"space": space, "images": images} | ({"final": "imagenet_360"} if images == "imagenet" else {})
    default = compose("config", ["experiment=final"], return_hydra_config=True).hydra.runtime.choices
    asked = [f"{group}={name}" for group, name in chosen.items() if name != default[group]]
    asked += [each for each in given if key_of(each).split(".")[0] in groups and key_of(each) not in groups]

    if groups:  # where that differs still, the experiment of the run has values of its own there
        asked += _differing(cfg, compose("config", ["experiment=final", *where, *asked]), groups)
        if _differing(cfg, compose("config", ["experiment=final", *where, *asked]), groups):
            return None
    return [*where, *asked]


def _differing(cfg: DictConfig, other: DictConfig, groups: Sequence[str]) -> list[str]:
    """The overrides that give the groups of `other` the values that they have in `cfg`."""
    ours, theirs = (
        dict(runs.flat({group: OmegaConf.to_container(each[group], resolve=True) for group in groups}))
        for each in (cfg, other)
    )
    return [f"{key}={json.dumps(value)}" for key, value in ours.items() if value != theirs.get(key)]


def _choice(group: str, name: str) -> Path:
    return Path(conf_dir()) / group / f"{name}.yaml"


def origin_of(cfg: DictConfig, folder: Path, summary: Mapping[str, Any], facts: NetworkFacts) -> Origin:
    """How the network of a run was found, and its accuracies with other seeds."""
    origin = Origin()
    if cfg.get("from_run"):
        origin = origin_of_search(*read_search(Path(cfg.from_run)), cfg.get("search_member"))
    elif cfg.search:
        config = OmegaConf.to_container(cfg, resolve=True)
        assert isinstance(config, dict)
        plain = {str(key): value for key, value in config.items()}
        origin = origin_of_search(summary, plain, cfg.get("search_member"))
    return replace(origin, seeds=same_training(facts, folder) if cfg.get("final") else {})
