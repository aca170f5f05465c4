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
from rich.text import Text

from acenas.errors import UserError, exit_status, shortened
from acenas.files import check_kind, number, read_json, shown
from acenas.report import runs
from acenas.report.identity import Identity, read_identity, seconds_in_words

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
        who: what it is called.
        problem: why it failed or was given up, in a line.
    """

    folder: Path
    state: str
    facts: dict[str, Any]
    who: Identity
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
        if (epochs := summary.get("epochs")) and epochs["budget"] is not None:
            facts |= {
                "epochs": epochs["paid"],
                "budget_epochs": epochs["budget"],
                "stopped": epochs["stopped"],
            }
        observed = f"observed_{runs.objective_of(summary)['name']}"
        facts[f"best_{observed}"] = summary.get("returned", {}).get(observed)
    return RunLine(folder, state, facts, read_identity(folder) or Identity(""), problem)


def in_queue(found: Sequence[RunLine]) -> list[RunLine]:
    """The same runs, with the state `queued` where SLURM has the job of one that no process works in."""
    stopped = [run.folder for run in found if run.state == "stopped"]
    if not stopped or shutil.which("squeue") is None:
        return list(found)
    from acenas.executors.slurm import jobs_in_queue  # takes a moment

    queued = jobs_in_queue(stopped)
    return [replace(run, state="queued") if run.folder in queued else run for run in found]


def show(found: Sequence[RunLine], root: Path, console: Console) -> None:
    """One line for each run, as wide as the console, then how many there are of each state."""
    rows = [_cells(run, root) for run in found]
    longest = {head: max(len(row[head]) for row in rows) for head in rows[0]}
    widths = {head: max(len(head), length) for head, length in longest.items() if length or head in NAMES}
    room = console.width - 2 * (len(widths) - 1) - sum(widths[head] for head in widths if head not in NAMES)
    shorter, longer = sorted(NAMES, key=widths.__getitem__)
    widths[shorter] = min(widths[shorter], max(room // 2, 12))
    widths[longer] = min(widths[longer], max(room - widths[shorter], 12))
    lines = [Text("  ".join(map(_aligned, widths, widths, widths.values())).rstrip(), "bold")]
    for row in rows:
        cells = [
            Text(_aligned(shortened(text, widths[head]), head, widths[head]), _style(head, text))
            for head, text in row.items()
            if head in widths
        ]
        lines.append(Text("  ").join(cells))
    console.print(*lines, sep="\n", soft_wrap=True)
    for run in found:
        if run.problem:
            console.print(f"{run.state.title()}: {run.folder}: {run.problem}", markup=False, soft_wrap=True)
    counts = Counter(run.state for run in found)
    console.print(", ".join(f"{counts[state]} {state}" for state in STATES if counts[state]))


NAMES = ("run", "method")
"""Columns that are shortened where the console is narrow."""


RIGHT = ("seed", "trained", "epochs", "observed", "time left")
"""Columns of numbers."""


def _aligned(text: str, head: str, width: int) -> str:
    return text.rjust(width) if head in RIGHT else text.ljust(width)


def _style(head: str, text: str) -> str:
    return STATES[text] if head == "state" else ""


def _cells(run: RunLine, root: Path) -> dict[str, str]:
    """What is shown of a run, by the head of the column."""
    facts, who = run.facts, run.who
    done, total = facts.get("done"), facts.get("total")
    stage = facts.get("stage", "")
    if done and total:
        stage += f" {done:.0f}/{total:.0f}"
    counts = ("stopped", "failed", "given", "pending")
    others = [f", {facts[what]:.0f} {what}" for what in counts if facts.get(what)]
    of_epochs = facts.get("budget_epochs")
    return {
        "run": str(run.folder.relative_to(root)) if run.folder != root else str(run.folder),
        "method": who.method.removeprefix(f"{who.experiment}, "),  # the folder has that name
        "seed": "" if who.seed is None else str(who.seed),
        "state": run.state,
        "stage": "" if run.state == "done" else stage.strip(),
        "trained": _of(facts.get("trained"), None if of_epochs else facts.get("budget")) + "".join(others),
        "epochs": _of(facts.get("epochs"), of_epochs) if of_epochs else "",
        "observed": _best(facts),
        "time left": _duration(_left(facts)) if run.state == "running" else "",
    }


def _best(facts: dict[str, Any]) -> str:
    """The best value that was observed: percent for accuracies, else with the name of the objective."""
    name = next((fact for fact in facts if fact.startswith("best_observed_")), "best_observed_accuracy")
    value, objective = facts.get(name), name.removeprefix("best_observed_")
    if objective == "accuracy":
        return number(value)
    return f"{objective} {shown(value, '')}"


def _left(facts: dict[str, Any]) -> float | None:
    """Seconds of the stage's work left now; told some time ago."""
    told = facts.get("seconds_left")
    return None if told is None else max(0.0, told - (time.time() - facts.get("time", time.time())))


def _of(value: float | None, total: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if total is None else f"{value:.0f}/{total:.0f}"


def _duration(seconds: float | None) -> str:
    return "" if seconds is None else seconds_in_words(seconds)


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
        description="Shows how far the runs in a folder are: state, stage, trained, epochs, best observed, time left.",
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
