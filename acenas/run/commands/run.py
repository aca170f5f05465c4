"""The command: Hydra composes a config, the pipeline runs it.

Heavy imports (torch, Lightning, W&B) wait until the config has been checked, so that a mistake in it is reported at
once.
"""

from __future__ import annotations

import atexit
import gc
import logging
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from acenas import __version__
from acenas.errors import UserError, unwritable
from acenas.executors.launcher import launched_rank
from acenas.files import is_full, reading
from acenas.report.identity import identity_of
from acenas.report.runs import MADE_AGAIN, PAGE, STATUS, SUMMARY, finished, headline, is_done
from acenas.run.api import complete
from acenas.run.command_line import run_application, sentences
from acenas.run.config import check_config, check_overrides, conf_dir, instantiate
from acenas.run.folder import FolderInUseError, note_error, remove_if_unused

if TYPE_CHECKING:
    from acenas.report.live.metrics import RankingMetrics
    from acenas.run.pruning import TrialPruning
    from acenas.run.stages.search import Trial


def rank_of(cfg: DictConfig) -> int | None:
    """The number of this process among those of a launcher that work on one run; None where it runs `cfg` alone.

    What a launcher has put into the environment means something only where the configuration has several processes:
    `srun -n 4` may as well start four runs of their own.
    """
    groups = ("supernet", "scoring", "final") if cfg.supernet else ("final",)
    counts = [f"{group}.hardware.{name}" for group in groups for name in ("devices", "num_nodes")]
    found = {OmegaConf.select(cfg, key, throw_on_resolution_failure=False) for key in counts}
    return launched_rank() if found - {1, None} else None


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
    given: Any = OmegaConf.to_container(hydra_cfg.overrides.task, resolve=False)
    with sentences(overrides=given):
        check_overrides(cfg, hydra_cfg.overrides.task, hydra_cfg.runtime.choices, hydra_cfg.job.config_name)
        check_config(cfg)
    rank = rank_of(cfg)
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
    if rank is None and not (is_done(folder, page=True) and not cfg.fresh):
        print(_begins(cfg, folder), flush=True)
    if summary := complete(cfg, folder, hydra_cfg.overrides.task, trial_of_a_search()):
        with reading(folder / SUMMARY, MADE_AGAIN):
            print(headline(summary, identity_of(folder, summary).method))
        for line in _next(cfg, folder, summary):
            print(line)
    print(f"Run folder: {folder}")


def _begins(cfg: DictConfig, folder: Path) -> str:
    """What is said at once, before all that takes time is imported."""
    where = f" on {cfg.table.name} {cfg.table.dataset}" if cfg.table and cfg.search else ""
    budget = ""
    if cfg.search:
        epochs = cfg.search.get("budget_epochs")
        sizes = {"architectures": cfg.search.budget, "epochs": epochs if epochs is None else f"{epochs:g}"}
        told = [f"{size} {what}" for what, size in sizes.items() if size is not None]
        budget = f": {' or '.join(told)} to train"
    verb = "Going on with" if (folder / STATUS).exists() and not cfg.fresh else "Running"
    return f"{verb} {cfg.experiment}{where}, seed {cfg.seed}{budget}.\nRun folder: {folder}"


def _next(cfg: DictConfig, folder: Path, summary: Mapping[str, Any]) -> Iterator[str]:
    """The page to open, and what can be done with what was found."""
    if (folder / PAGE).exists():
        yield f"Page: {folder / 'report.html'}"
    if cfg.search and not cfg.final and "returned" in summary:
        yield f"Compare it with others: python -m acenas.report {folder.parent}"


def main() -> int:
    """Runs the command; returns its exit status."""
    if "--version" in sys.argv[1:]:  # Hydra would print its own
        print(f"acenas {__version__}")
        return 0
    if "--help-all" in sys.argv:
        sys.argv[sys.argv.index("--help-all")] = "--help"
        sys.argv.append("hydra/help=all")
    atexit.register(gc.freeze)  # to look for garbage when all ends takes a second
    return run_application(hydra_main, "stopped; the same command goes on")


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="config")
def hydra_main(cfg: DictConfig) -> None:
    """Runs one experiment; as a job of a sweep it fails alone, and `acenas.run.sweeps` tells of it at the end."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    in_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    try:
        run_or_show(cfg, folder)
    except Exception as raised:
        error: Exception = unwritable(raised) or raised
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
        if not rank_of(cfg) and not used_by_another:
            remove_if_unused(folder)
        print(f"acenas: error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    sys.exit(main())
