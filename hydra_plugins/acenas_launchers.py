"""`hydra/launcher=joblib` and `hydra/launcher=slurm`: the jobs of a sweep on the cores of this machine or on a cluster.

They lie here since Hydra looks for plugins in packages of this name and nowhere else.
"""

from __future__ import annotations

import logging
import sys
from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, filter_overrides, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict, read_write
from typing_extensions import override

from acenas.errors import UserError
from acenas.report.runs import finished
from acenas.run.config import run_hash
from acenas.run.folder import announce, remove_if_unused
from acenas.run.sweeps import note_jobs

if TYPE_CHECKING:
    from acenas.executors import Executor  # Hydra imports this file for every command

log = logging.getLogger(__name__)


class SweepLauncher(Launcher):
    """Runs that are done are shown, the others are an executor's work.

    Hydra's own launchers give up all jobs with the first whose process is killed.

    Args:
        jobs: at once; None for as many as there is room for.
        options: of the executor.

    Attributes:
        when_interrupted: what becomes of the jobs where the user stops the command.
    """

    when_interrupted: str

    def __init__(self, jobs: int | None = None, **options: Any) -> None:
        self.jobs = jobs
        self.options = options

    @override
    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """See `Launcher`; a job that is lost returns nothing.

        Raises:
            UserError: where the executor cannot be used.
            SystemExit: with status 130 where the user stops it.
        """
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        configs: dict[Path, DictConfig] = {}
        folders = []  # of each job: two that ask for the same are one run
        for number, overrides in enumerate(job_overrides, start=initial_job_idx):
            config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
            folder = Path(config.hydra.sweep.dir).absolute() / config.hydra.sweep.subdir
            with read_write(config), open_dict(config):
                config.hydra.job.id = config.hydra.job.num = number
                config.hydra.runtime.output_dir = str(folder)
            if folder in configs and run_hash(configs[folder]) != run_hash(config):
                raise UserError(f"several jobs of the sweep are given the folder {folder}; name one for each")
            log.info(f"#{number}: {' '.join(filter_overrides(overrides))}: {folder}")
            configs[folder] = config
            folders.append(folder)
        note_jobs(self.hydra_context, configs)
        try:
            returned = self._run(configs)
        except KeyboardInterrupt:
            print(f"acenas: {self.when_interrupted}", file=sys.stderr)
            sys.exit(130)
        return [returned[folder] for folder in folders]

    def _run(self, configs: dict[Path, DictConfig]) -> dict[Path, JobReturn]:
        returned: dict[Path, JobReturn] = {}
        work: dict[Path, partial[JobReturn]] = {}
        for folder, config in configs.items():
            job = partial(run_in_sweep, self.hydra_context, self.task_function, config)
            if finished(folder) and not config.fresh:
                returned[folder] = job()
                configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
            else:
                work[folder] = partial(job, singletons=Singleton.get_state())
        if work:
            from acenas.executors import Lost

            executor = self.executor({folder: configs[folder] for folder in work})
            logs = Path(self.config.hydra.sweep.dir) / ".submitit"
            try:
                for count, (folder, result) in enumerate(executor.run(work, logs, self.jobs), start=1):
                    if isinstance(result, Lost):
                        log.warning(f"{folder}: {result.why}")
                        result = JobReturn(hydra_cfg=configs[folder], status=JobStatus.COMPLETED)
                    returned[folder] = result
                    log.info(f"{count} of {len(work)} jobs have ended: {folder}")
            except UserError:  # the jobs were not taken
                for folder in filter(Path.exists, work):
                    remove_if_unused(folder)
                raise
        return returned

    @abstractmethod
    def executor(self, configs: dict[Path, DictConfig]) -> Executor:
        """What runs the jobs of `configs`, none of which is done; raises `UserError` where it cannot."""


class JoblibLauncher(SweepLauncher):
    """Processes of this machine.

    Args:
        n_jobs: processes at once; -1 for one per core.
        retries: times that jobs are started again which were in flight when a process was killed.
    """

    when_interrupted = "stopped; the same command goes on."

    def __init__(self, n_jobs: int = -1, retries: int = 2) -> None:
        super().__init__(n_jobs if n_jobs > 0 else None, retries=retries)

    @override
    def executor(self, configs: dict[Path, DictConfig]) -> Executor:
        from acenas.executors import LocalProcesses

        return LocalProcesses(**self.options)


class SlurmLauncher(SweepLauncher):
    """Jobs of a SLURM cluster that outlive the command; those in the queue are waited for. Options: `Slurm`'s."""

    when_interrupted = "the jobs go on; the same command collects them."

    @override
    def executor(self, configs: dict[Path, DictConfig]) -> Executor:
        from acenas.executors import Slurm

        if any(config.fresh for config in configs.values()):
            # A job that SLURM starts again would clear what it had done before.
            raise UserError(
                "fresh=true works without hydra/launcher=slurm only; remove the folders of the runs and start again"
            )
        slurm = Slurm(**self.options)
        log.info(
            "The jobs are SLURM's now. They outlive this command; the same command collects them, and scancel ends "
            "them."
        )
        for folder in configs:
            announce(folder)
        return slurm


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
