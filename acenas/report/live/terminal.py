"""The terminal: a line for every round, and a live progress bar over epochs and rounds.

Both write to Rich's shared console, so that lines appear above the bar; Rich respects `NO_COLOR`. Where the output is
not a terminal, a plain line from time to time replaces the bar.
"""

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import pytorch_lightning as pl
from rich import get_console
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from typing_extensions import override

from acenas.report.live.metrics import RankingMetrics
from acenas.report.live.status import RunStatus
from acenas.report.runs import points
from acenas.search.events import RoundResult, SearchCallback

COLUMNS = {
    "round": "{:.0f}",
    "trained": "{:.0f}",
    "stopped": "{:.0f}",
    "epochs": "{:.5g}",
    "best\nobserved": "{:.2f}",
    "observed\nregret": "{:.2f}",
    "NDCG@10": "{:.3f}",
    "Kendall": "{:.3f}",
    "observed\nof top 10": "{:.2f}",
    "hyper-\nvolume": "{:.3f}",
    "of the\nknown": "{:.3f}",
    "seconds": "{:.1f}",
}
"""Columns of the table, and the format of their values."""

METRIC = {
    "best\nobserved": "best_observed_{}",
    "observed\nregret": "observed_regret",
    "NDCG@10": "ndcg@10",
    "Kendall": "kendall",
    "observed\nof top 10": "top10_observed_{}",
    "hyper-\nvolume": "hypervolume",
    "of the\nknown": "hypervolume_share",
}
"""Columns that show a metric of `RankingMetrics`, named with the objective."""

OF_FRONT = ("hyper-\nvolume", "of the\nknown")
"""Columns of a search with a front; they stand in the place of `NOT_OF_FRONT`."""

NOT_OF_FRONT = ("Kendall", "observed\nof top 10")

OF_EPOCHS = ("stopped", "epochs")
"""Columns of a search with a budget of epochs; they, too, stand in the place of `NOT_OF_FRONT`."""

IN_UNIT = ("best\nobserved", "observed\nregret", "observed\nof top 10")
"""Columns in the unit of the objective: two decimals of percent, five digits of anything else."""


class RoundTable(SearchCallback):
    """Prints a table row after each round: number trained, best value, ranking metrics; and a line for each failure.

    Values are observed ones, of the objective, in its unit, which stands below the name; `observed of top 10` is the
    best of the ten architectures with the highest scores. A search with a front has its hypervolume instead, and the
    share of that of the front known, see `RankingMetrics`; one with a budget of epochs how many were stopped early, and
    the epochs so far.

    Args:
        metrics: the callback that measures the round; it must come before this one in the list of callbacks.
        console: Rich's shared one by default.
    """

    def __init__(self, metrics: RankingMetrics, console: Console | None = None) -> None:
        self.metrics = metrics
        self.console = console or get_console()
        self._header_shown = False
        self._since = time.monotonic()

    @override
    def on_search_start(self, rounds: int | None, budget: int, done: int) -> None:
        self._since = time.monotonic()
        if done > 0:
            of = "" if rounds is None else f" of {rounds}"
            self.console.print(f"Going on after round {done}{of}.")

    @override
    def on_round_end(self, result: RoundResult) -> None:
        if len(result.given) and not self._header_shown:
            self.console.print(f"Given: {len(result.given)} architectures, trained elsewhere.")
        now = time.monotonic()
        measured, objective = self.metrics.rounds.get(result.round, {}), result.objective
        names = {column: f"{result.stage}/{name}".format(objective.name) for column, name in METRIC.items()}
        values = {column: measured.get(name) for column, name in names.items()}
        values |= {"round": result.round, "trained": result.trained, "seconds": now - self._since}
        values |= {"stopped": result.stopped, "epochs": result.epochs or 0}
        self._since = now
        table = Table(box=None, show_header=not self._header_shown, pad_edge=False, header_style="bold")
        of_unit = {} if objective.unit == "%" else dict.fromkeys(IN_UNIT, "{:.5g}")
        units = dict.fromkeys(IN_UNIT, objective.unit) | {IN_UNIT[1]: points(objective.unit)}
        of_front, of_epochs = bool(self.metrics.costs.front), result.budget_epochs is not None
        left_out = {
            *(() if of_front else OF_FRONT),
            *(() if of_epochs else OF_EPOCHS),
            *(NOT_OF_FRONT if of_front or of_epochs else ()),
            *(IN_UNIT[1:2] if of_front and of_epochs else ()),  # or it would be too wide
        }
        if of_epochs:
            units["epochs"] = f"of {result.budget_epochs:.5g}"
        columns = [name for name in COLUMNS if name not in left_out]
        for column in columns:
            unit = units.get(column)
            header = (
                column if not unit else f"{column}\n{unit}" if column == "epochs" else f"{column}\n({unit})"
            )
            width = max(7, *map(len, header.splitlines()))
            table.add_column(header, justify="right", width=width, no_wrap=True)
        cells = [
            ("–" if values[name] is None else of_unit.get(name, text).format(values[name]))
            for name, text in COLUMNS.items()
            if name in columns
        ]
        table.add_row(*cells)
        self.console.print(table)
        self._header_shown = True
        for row in result.failed.query("round == @result.round").to_dict("records"):
            self.console.print(f"Failed: {row['arch']}: {row['message']}", markup=False, soft_wrap=True)


class RunProgress(pl.Callback, SearchCallback):
    """Shows one progress bar with the time left, over the epochs of trainers and the rounds of a search.

    Also writes the progress to the run folder, for `python -m acenas.status`.

    Build the trainers with `enable_progress_bar=False`. Use this as a context manager, so that an error does not leave
    the terminal without its cursor.

    Args:
        console: Rich's shared one by default.
        plain_interval: seconds between two lines where the output is not a terminal.
        status: of the run.
    """

    def __init__(
        self,
        console: Console | None = None,
        plain_interval: float = 30.0,
        status: RunStatus | None = None,
    ) -> None:
        self.console = console or get_console()
        self.plain_interval = plain_interval
        self.status = status
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._epochs: TaskID | None = None
        self._first_epoch = 0, 0.0
        self._rounds: TaskID | None = None
        self._counted = "rounds"
        self._last_line = self._moved = time.monotonic()

    def __enter__(self) -> "RunProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Adds the bar of this trainer's epochs, starting at the epoch of its checkpoint."""
        total = trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else None
        self._epochs = self._bar.add_task("epochs", total=total, completed=trainer.current_epoch)
        self._first_epoch = trainer.current_epoch, time.monotonic()

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Updates the bar within a long epoch."""
        if time.monotonic() - self._moved >= 1.0 and trainer.num_training_batches:
            self._move(self._epochs, trainer.current_epoch + (batch_idx + 1) / trainer.num_training_batches)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._move(self._epochs, trainer.current_epoch + 1)
        first, start = self._first_epoch
        left = (time.monotonic() - start) * ((trainer.max_epochs or 0) - first - 1)
        if trainer.current_epoch == first and left >= 10:
            self.console.print(f"That takes about {left:.0f} s more.")

    def say(self, words: str) -> None:
        """Prints a line about what begins now."""
        self.console.print(words, markup=False, soft_wrap=True)

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._epochs is not None:
            self._bar.remove_task(self._epochs)
        self._epochs = None

    def chunks(self, description: str) -> Callable[[int, int], None]:
        """Returns a function that shows a bar for a task: call it with the number of chunks done, and of all chunks."""
        task: TaskID | None = None

        def move(done: int, total: int) -> None:
            nonlocal task
            if task is None:
                task = self._bar.add_task(description, total=total)
            self._move(task, done)
            if done == total:
                self._bar.remove_task(task)

        return move

    @override
    def on_search_start(self, rounds: int | None, budget: int, done: int) -> None:
        if rounds is None:  # what is left of a budget of epochs says how far it is
            self._counted, done = "epochs paid", 0
        self._rounds = self._bar.add_task(self._counted, total=rounds, completed=done)

    @override
    def on_round_start(self, round: int, archs: Sequence[str]) -> None:
        if self._rounds is not None:
            self._bar.update(
                self._rounds, description=f"{self._counted} (training {len(archs)} architectures)"
            )

    @override
    def on_round_end(self, result: RoundResult) -> None:
        if self._rounds is not None:
            self._bar.update(
                self._rounds, description=self._counted, total=result.budget_epochs or result.rounds
            )
        if self.status:
            others: dict[str, Any] = {f"best_{result.objective.column}": result.best}
            if result.budget_epochs is not None:
                others |= {"epochs": result.epochs, "budget_epochs": result.budget_epochs}
                others |= {"stopped": result.stopped}
            if result.rounds is not None:
                others["rounds"] = result.rounds
            self.status.tell(
                round=result.round,
                trained=result.trained,
                failed=len(result.failed),
                given=len(result.given),
                budget=result.budget,
                **others,
            )
        self._move(self._rounds, result.round if result.budget_epochs is None else result.epochs or 0)

    @override
    def on_search_end(self) -> None:
        if self._rounds is not None:
            self._bar.remove_task(self._rounds)
        self._rounds = None

    def _move(self, task_id: TaskID | None, completed: float) -> None:
        if task_id is None:
            return
        self._moved = time.monotonic()
        self._bar.update(task_id, completed=completed)
        task = self._bar.tasks[self._bar.task_ids.index(task_id)]
        if self.status:
            self.status.tell(
                unit=task.description, done=completed, total=task.total, seconds_left=task.time_remaining
            )
        now = time.monotonic()
        if not self.console.is_terminal and now - self._last_line >= self.plain_interval:
            self._last_line = now
            left = "" if task.time_remaining is None else f", about {task.time_remaining:.0f} s left"
            of = "" if task.total is None else f" of {task.total:.0f}"
            self.console.print(f"{task.description}: {completed:.4g}{of} done{left}")
