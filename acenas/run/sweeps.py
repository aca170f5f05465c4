"""The end of a sweep: one line for each of its jobs."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from hydra.types import HydraContext
from omegaconf import DictConfig

from acenas.report import runs
from acenas.run.config import other_run


class SweepSummary(Callback):
    """Says after `--multirun` what became of each job, whichever launcher ran it: Hydra's own message tells of one.

    Attributes:
        jobs: the jobs that this process ran or has heard of, by their folders, with their configurations. Launchers of
            others tell of none: then the jobs are the folders of the experiment that were locked since the sweep began.
    """

    def __init__(self) -> None:
        self.jobs: list[tuple[Path, DictConfig]] = []
        self._start = 0.0

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Notes when the sweep began."""
        self._start = time.time()

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Notes a job that this process runs itself."""
        self.jobs.append((Path(config.hydra.runtime.output_dir), config))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Prints the lines.

        Raises:
            SystemExit: with status 1 where a job is not done.
        """
        jobs = [(folder, other_run(job, folder)) for folder, job in self.jobs]
        jobs = jobs or [(folder, "") for folder in self._locked_since_start(config)]
        states = {
            (folder, other): ("failed", other) if other else runs.state(folder) for folder, other in jobs
        }
        for (folder, _), (state, why) in states.items():
            log = f" (log: {folder / 'run.log'})" if state in ("failed", "stopped") else ""
            print(f"{state:8}{folder}{': ' if why else ''}{why}{log}")
        # A hyper-parameter search gives up what is not worth going on with: that is an end, too.
        done = sum(state in ("done", "pruned") for state, _ in states.values())
        rest = "" if done == len(states) else "; the same command goes on with the others"
        print(f"{done} of {len(states)} jobs done{rest}.")
        if done < len(states):
            sys.exit(1)

    def _locked_since_start(self, config: DictConfig) -> list[Path]:
        return [
            folder
            for root in _sweep_folders(config)
            for folder in runs.run_folders(root)
            # A clock of a shared disk may be a little behind.
            if (folder / runs.LOCK).stat().st_mtime >= self._start - 1
        ]


def note_jobs(hydra_context: HydraContext, jobs: Mapping[Path, DictConfig]) -> None:
    """Tells the summary of the sweep of jobs that a launcher runs in other processes."""
    for callback in hydra_context.callbacks.callbacks:
        if isinstance(callback, SweepSummary):
            callback.jobs += jobs.items()


def _sweep_folders(config: DictConfig) -> list[Path]:
    """Where the jobs' folders are: each experiment has its own, and a sweep may go over several."""
    parsed = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
    names = [
        str(name)
        for override in parsed
        if override.key_or_group == "experiment" and override.is_choice_sweep()
        for name in override.sweep_string_iterator()
    ]
    each = config.copy()
    folders = []
    for name in names or [config.experiment]:
        each.experiment = name
        folders.append(Path(each.hydra.sweep.dir))
    return list(dict.fromkeys(folders))
