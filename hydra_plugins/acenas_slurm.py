"""`hydra/launcher=slurm`: the jobs of a sweep on a SLURM cluster.

It lies here since Hydra looks for plugins in packages of this name and nowhere else.
"""

import logging
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, filter_overrides, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict, read_write

from acenas import runs
from acenas.errors import UserError

log = logging.getLogger(__name__)


class SlurmLauncher(Launcher):
    """Runs that are done are shown, those that SLURM has in its queue are waited for, the others are submitted.

    Hydra's own launchers for submitit submit everything, know of lost jobs by SLURM's accounting alone, and give up
    the others with the first one.

    Args:
        jobs: at once; None for as many as there is room for.
        options: see `acenas.executors.Slurm`.
    """

    def __init__(self, jobs: int | None = None, **options: Any) -> None:
        self.jobs = jobs
        self.options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """See `Launcher`."""
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """See `Launcher`; a job that is lost returns nothing.

        Raises:
            SystemExit: with status 2 and a message where SLURM cannot be used, or `fresh` is asked for; with 130 where
                the user stops waiting.
        """
        setup_globals()
        configs = [
            self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
            for overrides in job_overrides
        ]
        if any(config.fresh for config in configs):
            # A job that SLURM starts again would clear what it had done before.
            print(
                "acenas: error: fresh=true works without hydra/launcher=slurm only; remove the folders of the runs and "
                "start again",
                file=sys.stderr,
            )
            sys.exit(2)
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        returned: dict[Path, JobReturn] = {}
        work: dict[Path, partial[JobReturn]] = {}
        folders = []
        for number, (overrides, config) in enumerate(
            zip(job_overrides, configs, strict=True), start=initial_job_idx
        ):
            folder = Path(config.hydra.sweep.dir).absolute() / config.hydra.sweep.subdir
            with read_write(config), open_dict(config):
                config.hydra.job.id = config.hydra.job.num = number
                config.hydra.runtime.output_dir = str(folder)
            log.info(f"#{number}: {' '.join(filter_overrides(overrides))}: {folder}")
            folders.append(folder)
            job = partial(run_in_sweep, self.hydra_context, self.task_function, config)
            if runs.finished(folder):
                returned[folder] = job()
                configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
            else:
                runs.announce(folder)
                work[folder] = partial(job, singletons=Singleton.get_state())
        try:
            returned |= self._collect(work)
        except UserError as error:
            for folder in work:
                runs.remove_if_unused(folder)
            print(f"acenas: error: {error}", file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:
            print("acenas: the jobs go on; the same command collects them.", file=sys.stderr)
            sys.exit(130)
        return [returned[folder] for folder in folders]

    def _collect(self, work: dict[Path, partial[JobReturn]]) -> dict[Path, JobReturn]:
        if not work:
            return {}
        from acenas.executors import Lost, Slurm  # Hydra imports this file for every command

        slurm = Slurm(**self.options)
        log.info(
            f"{len(work)} jobs are SLURM's now. They outlive this command; the same command collects them, and "
            "scancel ends them."
        )
        results = slurm.run(work, Path(self.config.hydra.sweep.dir) / ".submitit", self.jobs)
        returned = {}
        for folder, result in results:
            if isinstance(result, Lost):
                log.warning(f"{folder}: {result.why}")
                result = JobReturn(hydra_cfg=work[folder].args[-1], status=JobStatus.COMPLETED)
            returned[folder] = result
            log.info(f"{len(returned)} of {len(work)} jobs have ended: {folder}")
        return returned


def run_in_sweep(
    hydra_context: HydraContext,
    task_function: TaskFunction,
    config: DictConfig,
    singletons: dict[type, Singleton] | None = None,
) -> JobReturn:
    """Runs one job of a sweep; in another process than the launcher's with what Hydra keeps in `singletons`."""
    setup_globals()
    if singletons is not None:
        Singleton.set_state(singletons)
    HydraConfig.instance().set_config(config)
    return run_job(
        task_function=task_function,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
        hydra_context=hydra_context,
    )
