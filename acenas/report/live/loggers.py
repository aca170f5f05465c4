"""The loggers of a run: `metrics.csv` in the run folder, and the same metrics in Weights & Biases.

The CSV survives a kill, and a resumed W&B run is filled from it. Where W&B fails, the run continues without it after
one warning.
"""

import csv
import io
import logging
import os
import secrets
import shutil
import sys
import tempfile
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytorch_lightning.loggers import Logger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only
from rich import get_console

from acenas.evaluation.objective import Objective
from acenas.files import is_full, reading, write_text

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run

log = logging.getLogger(__name__)

STEP_METRIC = {
    "supernet": "supernet/epoch",
    "pretrain": "pretrain/epoch",
    "search": "search/trained",
    "front": "front/trained",
    "train": "train/epoch",
}
"""The step metric of each stage in W&B."""

OTHER_AXES = {"search": "search/epochs"}
"""Metrics that are with each row of a stage, where they are known, so that a chart can have them as its x axis."""

BEST_OF = {
    "search/observed_regret": "min",
    "search/ndcg@10": "max",
    "search/kendall": "max",
    "search/hypervolume": "max",
    "search/hypervolume_share": "max",
    "front/hypervolume": "max",
    "front/hypervolume_share": "max",
    "front/igd_plus": "min",
    "front/found": "max",
    "pretrain/ndcg@10": "max",
    "pretrain/kendall": "max",
    "train/valid_accuracy": "max",
}
"""Metrics whose best value W&B keeps in the run's summary, beside the last one."""

BEST_VALUES = ("best_observed", "top10_observed", "top10_test", "returned_test")
"""Metrics of a search that are values of its objective; W&B keeps the best of them in the objective's direction."""

FORMER_NAMES = {"search/regret": "search/observed_regret"}
"""Of metrics in the CSV of runs that an earlier version began."""

RowKey = tuple[str, int | None]
"""Stage and step, which identify a row of `metrics.csv`."""


def by_stage(metrics: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Groups `stage/metric` by stage; a name without stage, such as Lightning's `epoch`, is put into the only stage.

    >>> by_stage({"pretrain/loss": 0.5, "epoch": 3})
    {'pretrain': {'pretrain/loss': 0.5, 'pretrain/epoch': 3}}
    >>> by_stage({"search/best": 0.1, "pretrain/loss": 0.5})
    {'search': {'search/best': 0.1}, 'pretrain': {'pretrain/loss': 0.5}}
    """
    stages = list(dict.fromkeys(name.split("/")[0] for name in metrics if "/" in name))
    rows: dict[str, dict[str, Any]] = {stage: {} for stage in stages}
    for name, value in metrics.items():
        if "/" in name:
            rows[name.split("/")[0]][name] = value
        elif len(stages) == 1:
            rows[stages[0]][f"{stages[0]}/{name}"] = value
        else:
            rows.setdefault("", {})[name] = value
    return rows


class CSVMetrics(Logger):
    """Writes one CSV file: a row for every step of every stage, a column for every metric.

    Lightning's `CSVLogger` deletes an existing file; this one continues it. A step that is logged again updates its
    row, so a resumed run repeats no line. Every call has written the file when it returns: a new row is appended in
    one write, anything else rewrites the file atomically.

    Args:
        path: of the file, which is created or continued.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = Path(path)
        self.columns: list[str] = ["stage", "step"]
        self.rows: dict[RowKey, dict[str, float]] = {}
        if self.path.exists():
            self._read()

    def _read(self) -> None:
        with reading(self.path, "remove it to go on without the metrics so far"):
            text = self.path.read_text(encoding="utf-8")
            whole = text[: text.rfind("\n") + 1]  # the kill may have come in the middle of a line
            reader = csv.DictReader(io.StringIO(whole))
            names = [FORMER_NAMES.get(name, name) for name in reader.fieldnames or []]
            renamed, reader.fieldnames = names != reader.fieldnames, names
            self.columns += [name for name in names if name not in self.columns]
            for line in reader:
                key = (line.pop("stage"), int(step) if (step := line.pop("step")) else None)
                self.rows[key] = {name: float(value) for name, value in line.items() if value}
        if whole != text or renamed:
            self._rewrite()

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Writes `metrics`, named `stage/metric`, to the row of their stage and `step` (None has a row of its own)."""
        for stage, row in by_stage(metrics).items():
            key, values = (stage, step), {name: float(value) for name, value in row.items()}
            known_columns, new_row = values.keys() <= set(self.columns), key not in self.rows
            self.columns += [name for name in values if name not in self.columns]
            self.rows.setdefault(key, {}).update(values)
            if known_columns and new_row:
                self._append(key)
            else:
                self._rewrite()

    def _line(self, key: RowKey) -> list[str]:
        stage, step = key
        values = self.rows[key]
        cells = [repr(values[name]) if name in values else "" for name in self.columns[2:]]
        return [stage, "" if step is None else str(step), *cells]

    def _append(self, key: RowKey) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(self._line(key))
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(line.getvalue())

    def _rewrite(self) -> None:
        lines = io.StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self._line(key) for key in self.rows)
        write_text(self.path, lines.getvalue(), durable=False)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Does nothing; the run folder holds the resolved configuration."""

    @property
    def save_dir(self) -> str:
        """The run folder."""
        return str(self.path.parent)

    @property
    def name(self) -> str:
        """Empty, so that Lightning puts its files into the run folder itself."""
        return ""

    @property
    def version(self) -> str:
        """Empty, as `name`."""
        return ""


class SafeWandbLogger(WandbLogger):
    """Lightning's `WandbLogger` around an open run, whose failure does not stop the training.

    Args:
        run: the open W&B run.
        logged: metrics that W&B has from earlier, interrupted runs; they are not logged again.
        best_of: metrics whose best value is kept beside the last one, with `min` or `max`.
    """

    def __init__(
        self, run: "Run", logged: Mapping[RowKey, Mapping[str, float]], best_of: Mapping[str, str]
    ) -> None:
        super().__init__(experiment=run, project=run.project)
        self._logged = {(key, name) for key, row in logged.items() for name in row}
        self._best_of = best_of
        self._defined: set[str] = set()
        self.broken = False

    def attempt(self, action: Callable[[], None]) -> None:
        """Runs `action`. Where W&B fails, warns once and logs nothing from then on."""
        if self.broken:
            return
        try:
            action()
        except Exception as error:
            self.broken = True
            log.warning("W&B failed and is left out from here on (metrics.csv has everything): %s", error)

    def close(self, exit_code: int) -> None:
        """Ends the W&B run; `broken` is true afterwards where it is incomplete."""
        self.attempt(lambda: self.experiment.finish(exit_code=exit_code))

    def send(self, stage: str, row: Mapping[str, Any]) -> None:
        """Logs metrics of a stage; its step and their best values are defined with the first. Raises what W&B does."""
        run, axis = self.experiment, STEP_METRIC.get(stage)
        if axis and axis not in self._defined:
            run.define_metric(axis, hidden=True)
            run.define_metric(f"{stage}/*", step_metric=axis)
            if other := OTHER_AXES.get(stage):
                run.define_metric(other, step_metric=axis, hidden=True)
        for name in row.keys() & self._best_of.keys() - self._defined:
            run.define_metric(name, step_metric=axis, summary=f"{self._best_of[name]},last")
        self._defined |= {*row, *([axis] if axis else [])}
        run.log(dict(row))

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Logs `metrics`, named `stage/metric`, without those that W&B already has for this step."""
        for stage, row in by_stage(metrics).items():
            new = {name: value for name, value in row.items() if ((stage, step), name) not in self._logged}
            axes = (STEP_METRIC.get(stage), OTHER_AXES.get(stage))
            if not new.keys() <= set(axes):
                where = {axis: row[axis] for axis in axes if axis in row}
                self.attempt(lambda stage=stage, row=new | where: self.send(stage, row))  # type: ignore[misc]
            if step is not None:  # without a step, what is logged again is something new
                self._logged |= {((stage, step), name) for name in row}

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Adds `params` to the run's configuration."""
        self.attempt(lambda: super(SafeWandbLogger, self).log_hyperparams(params))


@contextmanager
def run_loggers(
    folder: str | Path,
    *,
    mode: Literal["offline", "online", "disabled"] = "offline",
    project: str = "acenas",
    group: str | None = None,
    job_type: str = "search",
    name: str | None = None,
    notes: str | None = None,
    tags: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
    objective: Objective = Objective(),  # noqa: B008 (frozen)
) -> Iterator[list[Logger]]:
    """Opens the loggers of the run in `folder` and closes them when the block ends, however it ends.

    The W&B run's id is kept in `wandb_id.txt`, so that a resumed run continues the same W&B run. W&B cannot continue
    an offline run in place: the new offline folder is filled from `metrics.csv` and replaces the interrupted one, so
    that `wandb sync` on the remaining folder sends the whole run.

    Args:
        folder: the run folder.
        mode: `"offline"` needs neither an account nor a network; `"online"` sends, and falls back to offline where
            W&B cannot be reached; with `"disabled"`, or where `WANDB_MODE` says so, there is only the CSV and W&B is
            never imported.
        project: of W&B.
        group: of W&B; method and task, which runs of other seeds share.
        job_type: `"supernet"`, `"search"`, `"train"` or `"report"`.
        name: of the W&B run.
        notes: of the W&B run.
        tags: of the W&B run.
        config: the resolved configuration, as plain values.
        objective: of the search.

    Yields:
        The loggers, `metrics.csv` first, for the trainers and `RankingMetrics`.
    """
    folder = Path(folder)
    # Of the processes of a run, the first alone opens loggers. Lightning takes any process for another one in whose
    # environment a launcher of something else has left RANK, LOCAL_RANK, SLURM_PROCID or JSM_NAMESPACE_RANK.
    rank_zero_only.rank = 0  # type: ignore[attr-defined]
    metrics_csv = CSVMetrics(folder / "metrics.csv")
    loggers: list[Logger] = [metrics_csv]
    wandb_logger = None
    options: dict[str, Any] = {"group": group, "job_type": job_type, "name": name, "project": project}
    options |= {"notes": notes, "tags": list(tags), "config": dict(config or {})}
    best_of = BEST_OF | {f"search/{name}_{objective.name}": objective.direction for name in BEST_VALUES}
    if mode != "disabled" and os.environ.get("WANDB_MODE") != "disabled":
        wandb_logger = _open_logger(folder, mode, options, metrics_csv, best_of)
    if wandb_logger is not None:
        loggers.append(wandb_logger)
    exit_code = 1
    try:
        # W&B stages the files of tables until they are sent: in the run folder rather than in the home folder.
        with _environment("WANDB_DATA_DIR", str(folder.resolve() / "wandb")):
            yield loggers
        exit_code = 0
    finally:
        if wandb_logger is not None:
            if not wandb_logger.experiment.offline:
                _say("Sending the rest to W&B.")
            wandb_logger.close(exit_code)
            if wandb_logger.broken:
                _end_service()
                if mode == "offline" and (again := _open_logger(folder, mode, options, metrics_csv, best_of)):
                    again.close(exit_code)  # filled from metrics.csv, in place of the broken one
                    log.log(
                        logging.WARNING if again.broken else logging.INFO,
                        "The W&B run was %s from metrics.csv.",
                        "not made again" if again.broken else "made again",
                    )
            if is_full(folder / "wandb"):
                log.warning("The disk of %s is full: what W&B recorded may lack its end.", folder / "wandb")


def _open_logger(
    folder: Path,
    mode: Literal["offline", "online"],
    options: dict[str, Any],
    metrics_csv: CSVMetrics,
    best_of: Mapping[str, str],
) -> SafeWandbLogger | None:
    """Opens a W&B run that holds what `metrics.csv` holds; returns its logger, or None where W&B is not available."""
    run = _open_wandb(folder, mode, options)
    if run is None:
        return None
    logger = SafeWandbLogger(run, metrics_csv.rows, best_of)
    logger.attempt(lambda: _restore(logger, run, folder, metrics_csv.rows))
    return logger


def _say(words: str) -> None:
    get_console().print(words, soft_wrap=True, markup=False, highlight=False)


def _end_service() -> None:
    """Ends W&B's service process, alive or dead, so that the next run starts one of its own."""
    with suppress(Exception), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        import wandb

        wandb.teardown()
    os.environ.pop("WANDB_SERVICE", None)  # that of a parent process stays, with the run's id


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Sets an environment variable for the block, unless the user has set it."""
    given = name in os.environ
    os.environ.setdefault(name, value)
    try:
        yield
    finally:
        if not given:
            os.environ.pop(name, None)


@contextmanager
def _temporary_folders() -> Iterator[None]:
    """Names the temporary folders that W&B makes while it is imported by this process; removes those of killed ones."""
    for left in () if sys.platform == "win32" else Path(tempfile.gettempdir()).glob("acenas-*-*wandb-*"):
        try:
            os.kill(int(left.name.split("-")[1]), 0)
        except ProcessLookupError:
            shutil.rmtree(left, ignore_errors=True)
        except (ValueError, OSError):
            continue  # it is another user's, or somebody else's name
    template, tempfile.template = tempfile.template, f"acenas-{os.getpid()}-"
    try:
        yield
    finally:
        tempfile.template = template


def _open_wandb(folder: Path, mode: Literal["offline", "online"], options: dict[str, Any]) -> "Run | None":
    """Opens a W&B run; offline where online fails. Returns None where both fail."""
    id_file = folder / "wandb_id.txt"
    if not id_file.exists():
        write_text(id_file, secrets.token_hex(4))
    run_id = id_file.read_text(encoding="utf-8").strip()
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # or W&B calls home even when it is offline
    modes: tuple[Literal["offline", "online"], ...] = (
        ("online", "offline") if mode == "online" else ("offline",)
    )
    for attempt in modes:
        try:
            with _temporary_folders():
                import wandb
            warnings.filterwarnings(
                "ignore", "Implicitly cleaning up", ResourceWarning
            )  # W&B leaves it to the end

            settings = wandb.Settings(
                console="off",  # the terminal shows a live bar, and W&B's capture would tear it
                silent=True,  # its service prints colours into files, too, whatever `quiet` says
                disable_git=True,
                save_code=False,
                x_save_requirements=False,
                x_disable_meta=True,
                x_disable_stats=attempt == "offline",
                init_timeout=30,
                login_timeout=30,
                finish_timeout=600,  # without a network it would wait for ever; `wandb sync` sends the rest later
            )
            run = wandb.init(
                **options,
                id=run_id,
                resume="allow",
                mode=attempt,
                dir=str(folder),
                reinit="create_new",  # never the run that another job of this process may have left open
                settings=settings,
            )
            if attempt == "online":
                _say(f"W&B: {run.url}")
            return run
        except Exception as error:
            then = (
                "Going on offline."
                if attempt != modes[-1]
                else "Going on without it; metrics.csv has everything."
            )
            log.warning("W&B (%s) is not available: %s. %s", attempt, str(error).rstrip("."), then)
            _end_service()  # it holds the run's id
    return None


def _restore(
    logger: SafeWandbLogger, run: "Run", folder: Path, rows: Mapping[RowKey, Mapping[str, float]]
) -> None:
    """Fills a new run with the metrics of the interrupted one."""
    if run.resumed:
        return
    for (stage, _), row in rows.items():
        logger.send(stage, row)
    current = Path(run.dir).parent
    for earlier in (folder / "wandb").glob(f"offline-run-*-{run.id}*"):
        if earlier.resolve() != current.resolve():
            shutil.rmtree(earlier, ignore_errors=True)
