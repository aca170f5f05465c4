"""A run's folder: who works in it, whether the run is done, and what came out.

Nothing heavy is imported here, so that a finished run is shown at once.
"""

import fcntl
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from acenas.errors import UserError
from acenas.files import write_text

SUMMARY = "summary.json"
"""Written last: it says that a run is done."""

_OF_THIS_PROCESS = {".hydra", ".lock", "run.log"}


@contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Holds the folder's lock, which ends with the process, however that ends.

    Raises:
        UserError: where another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another process is running the same configuration in {folder}") from None
        yield


def launched_rank() -> int | None:
    """The number of this process among those that `torchrun`, or `srun` with several tasks, has started; else None.

    `acenas.supernet.ranks.launched` asks the same of Lightning, which is too heavy to import before the checks.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return int(os.environ.get("RANK", "0"))
    if int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        return int(os.environ.get("SLURM_PROCID", "0"))
    return None


def clear(folder: Path) -> None:
    """Removes what an earlier run of the same configuration left."""
    for path in folder.iterdir():
        if path.name not in _OF_THIS_PROCESS:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def remove_if_unused(folder: Path) -> None:
    """Removes the folder of a run that never began."""
    if {path.name for path in folder.iterdir()} <= _OF_THIS_PROCESS:
        shutil.rmtree(folder)


def finish(folder: Path, summary: Mapping[str, Any]) -> None:
    """Writes the summary, which ends the run."""
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
            f"Ranking of the space: NDCG@10 {number(metrics['ndcg@10'], 3)}, Kendall {number(metrics['kendall'], 3)}.",
        ]
    )


def number(value: float | None, digits: int = 2) -> str:
    """A number with so many digits; a dash where it is unknown."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"
