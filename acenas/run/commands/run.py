"""The command: Hydra composes a config, the pipeline runs it.

Heavy imports (torch, Lightning, W&B) wait until the config has been checked, so that a mistake in it is reported at
once.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from acenas import __version__
from acenas.errors import UserError
from acenas.files import is_full
from acenas.report.runs import finished, headline
from acenas.run.api import complete
from acenas.run.commands.configured import configured
from acenas.run.config import check_config, check_overrides, instantiate
from acenas.run.folder import FolderInUseError, note_error, remove_if_unused

if TYPE_CHECKING:
    from acenas.report.live.metrics import RankingMetrics
    from acenas.run.pruning import TrialPruning
    from acenas.run.stages.search import Trial


def launched_rank() -> int | None:
    """The number of this process among those that `torchrun`, or `srun` with several tasks, has started; else None.

    `acenas.training.processes.launched` asks the same of Lightning, which is too heavy to import before the checks.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return int(os.environ.get("RANK", "0"))
    if int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        return int(os.environ.get("SLURM_PROCID", "0"))
    return None


def trial_of_a_search() -> Trial | None:
    """In a job of `hydra/sweeper=optuna`: makes the callback that tells the study of the job."""
    sweeper = HydraConfig.get().sweeper
    if OmegaConf.select(sweeper, "trial") is None:
        return None

    def trial(metrics: RankingMetrics) -> TrialPruning:
        from acenas.run.pruning import TrialPruning

        pruner = instantiate(sweeper.pruner)
        return TrialPruning(metrics, sweeper.metric, sweeper.study, sweeper.storage, sweeper.trial, pruner)

    return trial


def run_or_show(cfg: DictConfig, folder: Path) -> None:
    """Runs what `cfg` asks for in `folder`, goes on with it, or shows it where it is done."""
    hydra_cfg = HydraConfig.get()
    check_overrides(cfg, hydra_cfg.overrides.task, hydra_cfg.runtime.choices, hydra_cfg.job.config_name)
    check_config(cfg)
    rank = launched_rank()
    if cfg.fresh and rank is not None:
        # The first process would clear the folder while the others already read what lies there.
        raise UserError(f"fresh=true works without a launcher only; remove {folder} and start again")
    if cfg.final and cfg.search and rank is not None:
        # The other processes do not search, so they would not know what to train.
        raise UserError(
            "under a launcher, search first and train the network in a run of its own, with from_run"
        )
    if rank:
        if not finished(folder):
            from acenas.run.pipeline import assist

            assist(cfg, folder)
        return
    if summary := complete(cfg, folder, trial_of_a_search()):
        print(headline(summary))
    print(f"Run folder: {folder}")


def main() -> None:
    """Runs the command."""
    if "--version" in sys.argv[1:]:  # Hydra would print its own
        print(f"acenas {__version__}")
        return
    run()


@configured("config")
def run(cfg: DictConfig) -> None:
    """Runs one experiment; as a job of a sweep it fails alone, and `acenas.run.sweeps` tells of it at the end."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    in_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    try:
        run_or_show(cfg, folder)
    except Exception as raised:
        error: Exception = raised
        if not isinstance(error, UserError) and folder.exists() and is_full(folder):
            error = UserError(
                f"the disk of {folder} is full; make room, and the same command goes on ({error})"
            )
        if not isinstance(error, UserError):
            if not in_sweep:
                raise
            logging.getLogger(__name__).exception("This job failed.")
        used_by_another = isinstance(error, FolderInUseError)  # whose run is fine
        if in_sweep:
            if not used_by_another:
                note_error(folder, error)
            return
        if not launched_rank() and not used_by_another:
            remove_if_unused(folder)
        raise error from None


if __name__ == "__main__":
    main()
