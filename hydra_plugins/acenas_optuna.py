"""`hydra/sweeper=optuna`: the configurations of a sweep are proposed by Optuna, from what the earlier ones gave.

It lies here, since Hydra takes sweepers from packages below `hydra_plugins` alone.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from omegaconf import DictConfig
from typing_extensions import override

from acenas.errors import UserError
from acenas.files import atomic_path
from acenas.report import runs

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial


class OptunaSweeper(Sweeper):
    """Each trial is an ordinary run in its own folder; what is known of the trials is kept in `storage`.

    The same command goes on with a study: trials that were interrupted or failed are resumed with the configuration
    they had, and new ones are proposed until there are `trials`. One that ranks worse than others did after as many
    trainings is given up early, see `acenas.run.pruning`.

    Args:
        metric: a column of `metrics.csv`; its last value is what a trial is judged by.
        direction: `maximize` or `minimize`.
        trials: in all, those of earlier commands included.
        parallel: trials at a time, where the launcher can run several.
        sampler: makes an Optuna sampler from `seed`. It is made anew for each trial, with a seed of its own, so that a
            study that was interrupted proposes what it would have proposed.
        pruner: an Optuna pruner.
        storage: a URL that Optuna (SQLAlchemy) takes.
        seed: of the proposals.
        study: a name; without one it follows from what is searched, so that other searches are other studies.
        trial: of a job alone: its number in the study.
        params: what is searched, by key: `interval(low, high)`, with `tag(log, ...)` in the logarithm, `range(...)`,
            `choice(...)`; as on the command line, which overrides it.
    """

    def __init__(
        self,
        metric: str,
        direction: Literal["maximize", "minimize"],
        trials: int,
        parallel: int,
        sampler: DictConfig,
        pruner: DictConfig,
        storage: str,
        seed: int = 0,
        study: str | None = None,
        trial: int | None = None,
        params: Mapping[str, str] | None = None,
    ) -> None:
        self.metric = metric
        self.direction = direction
        self.trials = trials
        self.parallel = parallel
        self.sampler = sampler
        self.pruner = pruner
        self.storage = storage
        self.seed = seed
        self.study = study
        self.params = params or {}

    @override
    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config
        self.folder = Path(config.hydra.sweep.dir)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Runs the trials that are missing.

        Raises:
            UserError: where there is nothing to search or Optuna is missing.
        """
        fixed, searched = self._split(arguments)
        study = self._open(fixed, searched)
        tried: set[int] = set()
        while batch := self._next(study, searched, tried):
            tried |= {trial.number for trial in batch}
            for trial in batch:
                print(f"Trial {trial.number + 1}: {' '.join(_overrides(trial))}", flush=True)
            place = [f"hydra.sweeper.study={study.study_name}"]
            jobs = [
                [*fixed, *_overrides(trial), *place, f"hydra.sweeper.trial={trial.number}"] for trial in batch
            ]
            assert self.launcher is not None
            returned = self.launcher.launch(jobs, initial_job_idx=batch[0].number)
            for trial, job in zip(batch, returned, strict=True):
                assert job.hydra_cfg is not None
                self._tell(study, trial, Path(job.hydra_cfg.hydra.runtime.output_dir))
        self._show(study, fixed)

    def _split(self, arguments: Sequence[str]) -> tuple[list[str], dict[str, BaseDistribution]]:
        """The overrides that all trials share, and what is searched."""
        parsed = OverridesParser.create().parse_overrides([f"{k}={v}" for k, v in self.params.items()])
        given = OverridesParser.create().parse_overrides(list(arguments))
        last = {str(override.get_key_element()): override for override in [*parsed, *given]}
        searched = {key: override for key, override in last.items() if override.is_sweep_override()}
        fixed = [str(override.input_line) for key, override in last.items() if key not in searched]
        if not searched:
            raise UserError(
                "there is nothing to search; name keys and ranges, as in 'loss.scale=interval(1,20)' "
                "loss.gain=exponential,linear"
            )
        return fixed, {key: _distribution(override) for key, override in searched.items()}

    def _open(self, fixed: Sequence[str], searched: Mapping[str, BaseDistribution]) -> Study:
        try:
            import optuna
        except ImportError as error:
            raise UserError("hydra/sweeper=optuna needs Optuna: pip install 'acenas[sweeps]'") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        content = [
            sorted(fixed),
            {key: repr(value) for key, value in searched.items()},
            self.metric,
            self.seed,
        ]
        name = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]
        self.folder.mkdir(parents=True, exist_ok=True)
        return optuna.create_study(
            study_name=self.study or name,
            storage=self.storage,
            direction=self.direction,
            load_if_exists=True,
        )

    def _next(
        self, study: Study, searched: Mapping[str, BaseDistribution], tried: set[int]
    ) -> list[FrozenTrial]:
        """The trials to run at a time: first those that were interrupted, then new ones; none when all are done."""
        from optuna.trial import TrialState

        trials = study.get_trials(deepcopy=False)
        for trial in trials:
            if trial.state is TrialState.RUNNING and trial.params.keys() != searched.keys():
                study.tell(trial.number, state=TrialState.FAIL)  # killed while it was proposed: it never ran
        whole = [trial for trial in trials if trial.params.keys() == searched.keys()]
        batch = [t for t in whole if t.state is TrialState.RUNNING and t.number not in tried][: self.parallel]
        for count in range(len(whole), min(self.trials, len(whole) + self.parallel - len(batch))):
            study.sampler = instantiate(self.sampler)(seed=self.seed * 100_003 + count)
            number = study.ask(dict(searched)).number
            batch.append(study.get_trials(deepcopy=False)[number])
        return batch

    def _tell(self, study: Study, trial: FrozenTrial, folder: Path) -> None:
        """Tells the study what became of a trial. An interrupted or failed one is left open for the next command."""
        from optuna.trial import TrialState

        state, _ = runs.state(folder)
        if state == "done":
            value = _last_value(folder / "metrics.csv", self.metric)
            if value is None:
                print(
                    f"acenas: {folder} has no {self.metric}; choose another hydra.sweeper.metric, a column of its "
                    "metrics.csv",
                    file=sys.stderr,
                )
                study.tell(trial.number, state=TrialState.FAIL)
            else:
                study.tell(trial.number, value)
        elif state == "pruned":
            study.tell(trial.number, state=TrialState.PRUNED)

    def _show(self, study: Study, fixed: Sequence[str]) -> None:
        """Writes all trials as CSV, and prints the best."""
        from optuna.trial import TrialState

        trials = study.get_trials(deepcopy=False)
        table = self.folder / f"optuna-{study.study_name}.csv"
        with atomic_path(table) as path, path.open("w", encoding="utf-8", newline="") as file:
            names = list(dict.fromkeys(name for trial in trials for name in trial.params))
            writer = csv.writer(file)
            writer.writerow(["trial", "state", self.metric, *names])
            for trial in trials:
                values = [trial.params.get(name) for name in names]
                writer.writerow([trial.number + 1, trial.state.name.lower(), trial.value, *values])
        counts = [f"{sum(t.state is state for t in trials)} {state.name.lower()}" for state in TrialState]
        shown = ", ".join(count for count in counts if not count.startswith("0"))
        print(f"Trials: {shown}; all of them in {table}")
        finished = [trial for trial in trials if trial.state is TrialState.COMPLETE]
        if finished:
            best = study.best_trial
            print(f"Best: trial {best.number + 1}, {self.metric} {best.value:.4f}, which this makes again:")
            print(f"python -m acenas {' '.join([*fixed, *_overrides(best)])}")


def _distribution(override: Override) -> BaseDistribution:
    """What Optuna calls the values of a sweep.

    Raises:
        UserError: for values that Optuna cannot propose.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value = override.value()
    if isinstance(value, IntervalSweep):
        low, high = value.start, value.end
        assert low is not None and high is not None
        log = "log" in value.tags
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log=log)
        return FloatDistribution(float(low), float(high), log=log)
    if isinstance(value, ChoiceSweep | RangeSweep):
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    raise UserError(f"{override.input_line}: Optuna proposes from interval(...), range(...) and choice(...)")


def _overrides(trial: FrozenTrial) -> list[str]:
    return [f"{key}={value}" for key, value in trial.params.items()]


def _last_value(path: Path, metric: str) -> float | None:
    """The last value of a column of a CSV file; None where there is none."""
    with path.open(encoding="utf-8", newline="") as file:
        values = [value for row in csv.DictReader(file) if (value := row.get(metric))]
    return float(values[-1]) if values else None
