"""The end of a sweep: one line for each of its jobs."""

import sys
import time
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from acenas import runs


class SweepSummary(Callback):
    """Says after `--multirun` what became of each job, whichever launcher ran it: Hydra's own message tells of one."""

    def __init__(self) -> None:
        self._start = 0.0

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Notes when the sweep began: the folders that are locked from then on are its jobs'."""
        self._start = time.time()

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Prints the lines.

        Raises:
            SystemExit: with status 1 where a job is not done.
        """
        jobs = [
            folder
            for root in _sweep_folders(config)
            for folder in runs.run_folders(root)
            # A clock of a shared disk may be a little behind.
            if (folder / runs.LOCK).stat().st_mtime >= self._start - 1
        ]
        states = {folder: runs.state(folder) for folder in jobs}
        for folder, (state, why) in states.items():
            log = f" (log: {folder / 'run.log'})" if state in ("failed", "stopped") else ""
            print(f"{state:8}{folder}{': ' if why else ''}{why}{log}")
        # A hyper-parameter search gives up what is not worth going on with: that is an end, too.
        done = sum(state in ("done", "pruned") for state, _ in states.values())
        rest = "" if done == len(jobs) else "; the same command goes on with the others"
        print(f"{done} of {len(jobs)} jobs done{rest}.")
        if done < len(jobs):
            sys.exit(1)


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
