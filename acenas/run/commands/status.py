"""The command `python -m acenas.status`: how far the runs in a folder are.

Nothing heavy is imported here: a thousand runs are shown in a second or two.
"""

import argparse
import math
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from acenas.errors import UserError, exit_status
from acenas.files import check_kind, number, read_json
from acenas.report import runs

STATES = {
    "running": "green",
    "queued": "cyan",
    "done": "blue",
    "paused": "yellow",
    "pruned": "magenta",
    "failed": "red",
    "stopped": "yellow",
}
"""Of a run, and the colour it is shown in. Queued: SLURM has it. Paused: a study that has trainings left, and which no
process runs. Pruned: a hyper-parameter search gave it up. Stopped: killed or interrupted; the same command goes on."""


@dataclass(frozen=True)
class RunLine:
    """What is known of a run from outside.

    Attributes:
        folder: of the run.
        state: one of `STATES`.
        facts: `acenas.report.live.status.RunStatus.facts`, where it told any.
        problem: why it failed or was given up, in a line.
    """

    folder: Path
    state: str
    facts: dict[str, Any]
    problem: str = ""


def look_at(folder: Path) -> RunLine:
    """The state of the run in `folder`."""
    facts = _facts(folder / runs.STATUS)
    try:
        state, problem = runs.state(folder)
    except OSError as error:
        state, problem = "failed", f"it cannot be read ({error.strerror})"
    if state == "stopped" and "is_done" in facts:  # of a study, whether anything is reported of it yet
        state = "done" if facts["is_done"] else "paused"
    elif state == "done":
        summary = runs.finished(folder) or {}
        facts |= {key: summary.get(key, facts.get(key)) for key in ("trained", "failed", "given")}
        observed = f"observed_{runs.objective_of(summary)['name']}"
        facts[f"best_{observed}"] = summary.get("returned", {}).get(observed)
    return RunLine(folder, state, facts, problem)


def in_queue(found: Sequence[RunLine]) -> list[RunLine]:
    """The same runs, with the state `queued` where SLURM has the job of one that no process works in."""
    stopped = [run.folder for run in found if run.state == "stopped"]
    if not stopped or shutil.which("squeue") is None:
        return list(found)
    from acenas.executors.slurm import jobs_in_queue  # takes a moment

    queued = jobs_in_queue(stopped)
    return [replace(run, state="queued") if run.folder in queued else run for run in found]


def show(found: Sequence[RunLine], root: Path, console: Console) -> None:
    """One line for each run, then how many there are of each state."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("run", "state", "stage", "progress", "round", "trained", "best observed", "time left"):
        right = column in ("round", "trained", "best observed", "time left")
        grid.add_column(column, justify="right" if right else "left", no_wrap=True, overflow="fold")
    for run in found:
        facts = run.facts
        running = run.state == "running"
        name = str(run.folder.relative_to(root)) if run.folder != root else str(run.folder)
        done, total = facts.get("done"), facts.get("total")
        grid.add_row(
            escape(name),
            f"[{STATES[run.state]}]{run.state}[/]",
            "" if run.state == "done" else escape(facts.get("stage", "")),
            escape(f"{done:.0f} of {total:.0f} {facts.get('unit', '')}")
            if run.state != "done" and done and total
            else "",
            _of(facts.get("round"), facts.get("rounds")) if run.state != "done" else "",
            _of(facts.get("trained"), facts.get("budget"))
            + "".join(
                f", {facts[what]:.0f} {what}" for what in ("failed", "given", "pending") if facts.get(what)
            ),
            escape(_best(facts)),
            _duration(_left(facts)) if running else "",
        )
    console.print(grid)
    for run in found:
        if run.problem:
            console.print(f"{run.state.title()}: {run.folder}: {run.problem}", markup=False, soft_wrap=True)
    counts = Counter(run.state for run in found)
    console.print(", ".join(f"{counts[state]} {state}" for state in STATES if counts[state]))


def _best(facts: dict[str, Any]) -> str:
    """The best observed value: percent for accuracies, else with the name of the objective."""
    name = next((fact for fact in facts if fact.startswith("best_observed_")), "best_observed_accuracy")
    value, objective = facts.get(name), name.removeprefix("best_observed_")
    if objective == "accuracy":
        return number(value)
    return f"{objective} {runs.shown(value, '')}"


def _left(facts: dict[str, Any]) -> float | None:
    """Seconds of the stage's work left now; told some time ago."""
    told = facts.get("seconds_left")
    return None if told is None else max(0.0, told - (time.time() - facts.get("time", time.time())))


def _of(value: float | None, total: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if total is None else f"{value:.0f}/{total:.0f}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours} h {rest // 60:02d} min" if hours else f"{rest // 60} min {rest % 60:02d} s"


def _facts(path: Path) -> dict[str, Any]:
    """What `status.json` tells, as far as it can be shown; nothing where it cannot be read."""
    try:
        told: dict[str, Any] = read_json(path, {str: object})
    except UserError:
        return {}
    facts = {}
    for name, value in told.items():
        with suppress(ValueError):
            check_kind(value, {"stage": str, "unit": str, "is_done": bool}.get(name, float))
            if isinstance(value, str) or math.isfinite(value):
                facts[name] = value
    return facts


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m acenas.status",
        description="Shows how far the runs in a folder are: state, stage, rounds, best so far, time left.",
        epilog="A run that stopped or failed goes on when its command is given again.",
    )
    parser.add_argument(
        "folder", type=Path, nargs="?", default=Path("outputs"), help="of runs, or one run (default: outputs)"
    )
    parser.add_argument("--state", choices=STATES, help="only runs in this state")
    parser.add_argument("--watch", type=float, metavar="SECONDS", help="look again so often, until Ctrl-C")
    options = parser.parse_args(arguments)
    return exit_status(lambda: _watch(options))


def _watch(options: argparse.Namespace) -> None:
    if not options.folder.is_dir():
        raise UserError(f"there is no folder {options.folder}; name one of runs")
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, 160)  # in a file or a pipe nothing needs to be cut
    while True:
        found = in_queue([look_at(folder) for folder in runs.run_folders(options.folder)])
        found = [run for run in found if options.state in (None, run.state)]
        if not found:
            console.print(f"No runs in {options.folder}.", markup=False)
        else:
            show(found, options.folder, console)
        if not options.watch:
            return
        time.sleep(options.watch)
        console.clear()


if __name__ == "__main__":
    sys.exit(main())
