"""A run's folder: who works in it, whether the run is done, and what came out.

Nothing heavy is imported here, so that a finished run is shown at once.
"""

import fcntl
import json
import math
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from acenas.errors import UserError
from acenas.files import write_text

SUMMARY = "summary.json"
"""Written last: it says that a run is done."""

STATUS = "status.json"
"""How far a run is, for those who watch it: `RunStatus`."""

ERROR = "error.txt"
"""Why the last process in the folder gave up."""

PRUNED = "pruned.txt"
"""Why a hyper-parameter search gave the run up."""

LOCK = ".lock"
CLEARING = ".clearing"
"""There while the folder is being cleared: what else lies in it is not whole."""

_OF_THIS_PROCESS = {".hydra", LOCK, CLEARING, "run.log", ERROR, PRUNED, STATUS}


class FolderInUseError(UserError):
    """Another process works in the folder."""


@contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Holds the folder's lock, which ends with the process, however that ends. An error is noted in the folder.

    Where a process was killed while it cleared the folder, this is done first.

    Raises:
        FolderInUseError: where another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        for _ in range(5):  # who asks whether a run is alive holds its lock for an instant
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.05)
        else:
            raise FolderInUseError(f"another process is running the same configuration in {folder}")
        for of_before in (ERROR, PRUNED):
            (folder / of_before).unlink(missing_ok=True)
        if (folder / CLEARING).exists():
            clear(folder)
        try:
            yield
        except Exception as error:
            note_error(folder, error)
            raise


def announce(folder: Path) -> None:
    """Makes `folder` that of a run, of which nothing is known yet."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LOCK).touch()


def note_error(folder: Path, error: BaseException) -> None:
    """Writes down in the folder why its run gave up, where it can."""
    with suppress(OSError):  # on a full disk
        announce(folder)  # even where the error came before the run
        write_text(folder / ERROR, f"{type(error).__name__}: {error}\n")


def run_folders(root: Path) -> Iterator[Path]:
    """The run folders at or below `root`: those that a process has locked once. What lies in them is not looked at."""
    if (root / LOCK).exists():
        yield root
    elif root.is_dir():
        for child in sorted(root.iterdir()):
            if child.is_dir() and not child.is_symlink() and not child.name.startswith("."):
                yield from run_folders(child)


def is_running(folder: Path) -> bool:
    """Whether a process of this machine works in the folder."""
    try:
        with (folder / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def state(folder: Path) -> tuple[str, str]:
    """`done`, `running`, `pruned`, `failed` or `stopped` (killed or interrupted), and why, in a line, where known."""
    if (folder / SUMMARY).exists():
        return "done", ""
    if is_running(folder):
        return "running", ""
    for file, name in ((PRUNED, "pruned"), (ERROR, "failed")):
        if (folder / file).exists():
            lines = (folder / file).read_text(encoding="utf-8", errors="replace").strip().splitlines()
            return name, lines[0] if lines else ""
    return "stopped", ""


class RunStatus:
    """Tells in `status.json` of a run's folder how far the run is; written at most once a second.

    Args:
        folder: of the run.

    Attributes:
        facts: what was told so far: `stage`; `unit`, `done`, `total` and `seconds_left` of its work; `round`, `rounds`,
            `trained`, `budget` and `best_observed_accuracy` (percent) of a search; `time`, the Unix time of writing.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / STATUS
        self._written = 0.0
        self.facts: dict[str, Any] = {}

    def tell(self, *, now: bool = False, **facts: Any) -> None:
        """Adds facts. With `now` they are written whenever the last ones were."""
        self.facts |= facts
        if now or time.monotonic() - self._written >= 1.0:
            self._written = time.monotonic()
            write_text(self._file, json.dumps(self.facts | {"time": time.time()}))


def launched_rank() -> int | None:
    """The number of this process among those that `torchrun`, or `srun` with several tasks, has started; else None.

    `acenas.training.processes.launched` asks the same of Lightning, which is too heavy to import before the checks.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return int(os.environ.get("RANK", "0"))
    if int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        return int(os.environ.get("SLURM_PROCID", "0"))
    return None


def clear(folder: Path) -> None:
    """Removes what an earlier run of the same configuration left; after a kill `only_process` goes on with it."""
    (folder / CLEARING).touch()
    (folder / SUMMARY).unlink(
        missing_ok=True
    )  # first: a folder that lacks something else is not that of a done run
    for path in folder.iterdir():
        if path.name not in _OF_THIS_PROCESS:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (folder / CLEARING).unlink()


def remove_if_unused(folder: Path) -> None:
    """Removes the folder of a run that never began."""
    if {path.name for path in folder.iterdir()} <= _OF_THIS_PROCESS:
        shutil.rmtree(folder)


def finish(folder: Path, summary: Mapping[str, Any]) -> None:
    """Writes the summary, which ends the run; what kills left half written is removed."""
    for left in folder.rglob(".*.tmp"):
        left.unlink(missing_ok=True)
    write_text(folder / SUMMARY, json.dumps(summary, indent=2) + "\n")


def finished(folder: Path) -> dict[str, Any] | None:
    """The summary of a run that is done, else None."""
    file = folder / SUMMARY
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def headline(summary: Mapping[str, Any]) -> str:
    """The result of a finished run in a few lines of plain text; accuracies in percent.

    Args:
        summary: the content of `summary.json`.
    """
    seconds = f"{summary['seconds']['total']:.0f} s"
    lines = [
        f"Weak label {name}: Kendall {number(label['kendall'], 3)} over {label['architectures']} known architectures."
        for name, label in summary.get("weak_labels", {}).items()
    ]
    if final := summary.get("final"):
        accuracy = ", ".join(
            f"{part} accuracy {number(value)} %" for part, value in final["accuracy"].items()
        )
        lines.append(f"Trained: {final['arch']}: {accuracy}.")
    if "measured" in summary:
        lines.append(f"Measured: {summary['measured']}")
    if "export" in summary:
        lines.append(f"Exported: {', '.join(summary['export'])}, which answer as the network does.")
    if "returned" not in summary:
        return "\n".join([f"{summary['experiment']}, seed {summary['seed']}: {seconds}", *lines])
    returned, best, metrics = summary["returned"], summary["best_known"], summary["metrics"]
    return "\n".join(
        [
            f"{summary['experiment']} on {summary['table']} {summary['dataset']}, seed {summary['seed']}: "
            f"{summary['trained']} architectures trained in {seconds}",
            *lines,
            f"Returned: {returned['arch']}",
            f"Observed accuracy {number(returned['observed_accuracy'])} %, test accuracy "
            f"{number(returned['test_accuracy'])} %; the best known has "
            f"{number(best['test_accuracy'])} % (regret {number(summary['regret'])}).",
            *(
                f"Constraint {name} <= {limit:g}: {summary['constraints']['returned'][name]:.4g} "
                f"({summary['constraints']['origins'][name]})."
                for name, limit in summary.get("constraints", {}).get("limits", {}).items()
            ),
            f"Ranking of the space: NDCG@10 {number(metrics['ndcg@10'], 3)}, Kendall {number(metrics['kendall'], 3)}.",
        ]
    )


def number(value: float | None, digits: int = 2) -> str:
    """A number with so many digits; a dash where it is unknown."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


class Clock:
    """Seconds spent in each stage, over all processes that worked on a run; kept in `seconds.json` of `folder`.

    Attributes:
        seconds: of the wall clock, by stage.
        cpu_seconds: of the processor, by stage: all threads of the run's own process, without those that it starts to
            train architectures.
    """

    def __init__(self, folder: Path, status: RunStatus) -> None:
        self._file = folder / "seconds.json"
        self._status = status
        before = json.loads(self._file.read_text()) if self._file.exists() else {}
        self.seconds: dict[str, float] = before.get("seconds", {})
        self.cpu_seconds: dict[str, float] = before.get("cpu_seconds", {})

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the time of the block to that of stage `name`."""
        start, cpu_start = time.monotonic(), time.process_time()
        self._status.tell(now=True, stage=name, unit=None, done=None, total=None, seconds_left=None)
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start
            self.cpu_seconds[name] = self.cpu_seconds.get(name, 0.0) + time.process_time() - cpu_start
            write_text(self._file, json.dumps({"seconds": self.seconds, "cpu_seconds": self.cpu_seconds}))

    def summary(self) -> dict[str, dict[str, float]]:
        """Both, each with its total."""
        both = {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds}
        return {name: {"total": sum(stages.values()), **stages} for name, stages in both.items()}
