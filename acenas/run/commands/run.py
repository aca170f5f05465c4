"""The command: Hydra composes a config, the pipeline runs it.

Heavy imports (torch, Lightning, W&B) wait until the config has been checked, so that a mistake in it is reported at
once.
"""

from __future__ import annotations

import gc
import logging
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from acenas.errors import UserError
from acenas.files import is_full
from acenas.report import runs
from acenas.run.config import check_config, check_types, conf_dir

if TYPE_CHECKING:
    from acenas.run.pruning import TrialPruning


def check_overrides(cfg: DictConfig) -> None:
    """Raises `UserError` where a value given on the command line is of another type than the one it replaces."""
    hydra_cfg = HydraConfig.get()
    given = OverridesParser.create().parse_overrides(list(hydra_cfg.overrides.task))
    choices = [str(o.input_line) for o in given if o.key_or_group in hydra_cfg.runtime.choices]
    values = [
        o.key_or_group for o in given if o.key_or_group not in hydra_cfg.runtime.choices and not o.is_add()
    ]
    if values:
        check_types(cfg, hydra.compose(hydra_cfg.job.config_name, choices), values)


def trial_of_a_search() -> partial[TrialPruning] | None:
    """Where this is a job of `hydra/sweeper=optuna`: what makes the callback that tells the study of it."""
    sweeper = HydraConfig.get().sweeper
    if OmegaConf.select(sweeper, "trial") is None:
        return None
    from acenas.run.pruning import TrialPruning

    return partial(
        TrialPruning,
        metric=sweeper.metric,
        study=sweeper.study,
        storage=sweeper.storage,
        trial=sweeper.trial,
        pruner=hydra.utils.instantiate(sweeper.pruner),
    )


def run_or_show(cfg: DictConfig, folder: Path) -> None:
    """Runs what `cfg` asks for in `folder`, goes on with it, or shows it where it is done."""
    check_overrides(cfg)
    check_config(cfg)
    rank = runs.launched_rank()
    if cfg.fresh and rank is not None:
        # The first process would clear the folder while the others already read what lies there.
        raise UserError(f"fresh=true works without a launcher only; remove {folder} and start again")
    if cfg.final and cfg.search and rank is not None:
        # The other processes do not search, so they would not know what to train.
        raise UserError(
            "under a launcher, search first and train the network in a run of its own, with from_run"
        )
    if rank:
        if not runs.finished(folder):
            from acenas.run.pipeline import assist

            assist(cfg, folder)
        return
    with runs.only_process(folder):
        if cfg.fresh:
            runs.clear(folder)
        if not runs.finished(folder):
            gc.disable()  # nothing that is made while modules are imported is garbage: a tenth of the time
            from acenas.run.pipeline import (
                run,  # takes seconds: after the checks, and only where it is needed
            )

            gc.enable()
            run(cfg, folder, trial_of_a_search())
        if summary := runs.finished(folder):
            print(runs.headline(summary))
        print(f"Run folder: {folder}")


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="config")
def main(cfg: DictConfig) -> None:
    """Runs one experiment; as a job of a sweep it fails alone, and `acenas.run.sweeps` tells of it at the end."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    in_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    try:
        run_or_show(cfg, folder)
    except Exception as raised:
        error = raised.__cause__ if isinstance(raised, InstantiationException) else raised
        if not isinstance(error, UserError) and folder.exists() and is_full(folder):
            error = UserError(
                f"the disk of {folder} is full; make room, and the same command goes on ({error})"
            )
        if not isinstance(error, UserError):
            if not in_sweep:
                raise
            logging.getLogger(__name__).exception("This job failed.")
        used_by_another = isinstance(error, runs.FolderInUseError)  # whose run is fine
        if in_sweep:
            if not used_by_another:
                runs.note_error(folder, error or raised)
            return
        if not runs.launched_rank() and not used_by_another:
            runs.remove_if_unused(folder)
        print(f"acenas: error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
