"""Who a run is, in a person's words: kept in `run.json` of its folder, and shown wherever the run is.

Nothing heavy is imported here, so that a thousand runs are named at once.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from acenas import __version__
from acenas.errors import UserError
from acenas.files import read_json, write_text
from acenas.report.runs import IDENTITY, OVERRIDES, read_yaml

NO_DIFFERENCE = (
    "seed",
    "output_root",
    "data_dir",
    "fresh",
    "take_over",
    "hydra",
    "logger",
    "trainer",
    "table.path",
    "evaluator.executor",
)
"""Keys of a configuration in which runs of one method may differ: seeds, and what concerns the machine."""

TASK = ("experiment", "table", "table.name", "table.dataset")
"""Keys that say on what a method was tried: their values are named beside it."""

Named = tuple[str, str]
"""What a benchmark calls the method and the task of one of its runs."""


@dataclass(frozen=True)
class Identity:
    """What tells a run from others.

    Attributes:
        method: of a person's own run its experiment and the overrides that were given; of a benchmark's its name there.
        task: table and data set, or what else tells how good an architecture is; of a benchmark's run its name there.
        seed: of the run; None where nobody knows it.
        experiment: of the run.
        command: that repeats it, for a shell.
        date: when it began, in UTC, as in `2026-11-30 07:31`.
        version: of acenas.
        commit: of acenas, where it was run from a checkout; a `+` where that held changes.
        benchmark: whether a benchmark made it.
    """

    method: str
    task: str = ""
    seed: int | None = None
    experiment: str = ""
    command: str = ""
    date: str = ""
    version: str = ""
    commit: str = ""
    benchmark: bool = False

    @property
    def title(self) -> str:
        """Method and task: all that runs of other seeds share."""
        return f"{self.method} on {self.task}" if self.task else self.method

    @property
    def words(self) -> list[str]:
        """The parts of the method."""
        return self.method.split(", ")

    @property
    def code(self) -> str:
        """Version and commit of acenas, where they are known."""
        commit = f" (commit {self.commit})" if self.commit else ""
        return f"acenas {self.version}{commit}" if self.version else ""

    def write(self, folder: Path) -> None:
        """Puts it into the folder of its run; a run that goes on began when it began."""
        before = read_identity(folder)
        date = before.date if before else self.date
        write_text(folder / IDENTITY, json.dumps(asdict(self) | {"date": date}, indent=2) + "\n")


def identity(
    folder: Path,
    experiment: str,
    task: str,
    seed: int,
    options: Sequence[str] = (),
    named: Named | None = None,
) -> Identity:
    """Returns the identity of a run that begins now in `folder`, where its overrides are written already.

    Args:
        folder: of the run.
        experiment: of the run.
        task: on which it searches or trains, in words.
        seed: of the run.
        options: of the command, beside its overrides.
        named: method and task, as a benchmark calls them; None for a person's own run.
    """
    words = [word for word in method_overrides(folder) if key_of(word) not in TASK]
    method, task = named or (", ".join([experiment, *words]), task)
    return Identity(
        method=method,
        task=task,
        seed=seed,
        experiment=experiment,
        command=shlex.join(["python", "-m", "acenas", *options, *given_overrides(folder)]),
        date=f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        version=__version__,
        commit=_commit(),
        benchmark=named is not None,
    )


def read_identity(folder: Path) -> Identity | None:
    """What the folder of a run says of it; None where it says nothing that can be read."""
    kind = dict.fromkeys(("method", "task", "experiment", "command", "date", "version", "commit"), str)
    file = folder / IDENTITY
    try:
        if not file.exists():
            return None
        told = read_json(file, {**kind, "seed": (int, type(None)), "benchmark": bool, str: object})
        found = Identity(**{name: told[name] for name in Identity.__dataclass_fields__})
        json.dumps(
            asdict(found), ensure_ascii=False
        ).encode()  # not every text of JSON is one of UTF-8, which pages are written in
    except (UserError, UnicodeError):
        return None
    return found


def identity_of(folder: Path, summary: Mapping[str, Any] | None = None) -> Identity:
    """`read_identity`, or for a run of an earlier version what its overrides and its summary tell."""
    if found := read_identity(folder):
        return found
    summary = summary or {}
    experiment = str(summary.get("experiment", ""))
    try:
        words = [word for word in method_overrides(folder) if key_of(word) not in TASK]
    except UserError:
        words = []
    return Identity(
        method=", ".join(filter(None, [experiment, *words])),
        task=f"{summary.get('table', '')} {summary.get('dataset', '')}".strip(),
        seed=summary.get("seed"),
        experiment=experiment,
        version=str(summary.get("versions", {}).get("acenas", "")),
    )


def given_overrides(folder: Path) -> list[str]:
    """Returns the overrides of a run; empty where they are not known."""
    given = folder / OVERRIDES
    return list(map(str, read_yaml(given, [object]))) if given.exists() else []


def method_overrides(folder: Path) -> list[str]:
    """Returns the overrides of a run without those of `NO_DIFFERENCE`; empty where they are not known."""
    return [override for override in given_overrides(folder) if not is_chance(key_of(override))]


def key_of(override: str) -> str:
    """What it sets; that of a group (`evaluator/executor=slurm`) as in the configuration."""
    return override.split("=")[0].lstrip("+~").replace("/", ".")


def is_chance(key: str) -> bool:
    """Whether runs of one method may differ in it."""
    return key.endswith(".seed") or any(
        key == other or key.startswith(f"{other}.") for other in NO_DIFFERENCE
    )


@cache
def _commit() -> str:
    """The commit of acenas where it is run from a checkout, with a `+` where that holds changes; else empty."""
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():
        return ""
    try:
        told = [
            subprocess.run(
                ["git", "-C", str(checkout), *asked], capture_output=True, timeout=2, check=True
            ).stdout
            for asked in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        ]
    except (OSError, subprocess.SubprocessError):
        return ""
    return told[0].decode().strip() + ("+" if told[1].strip() else "")


def seconds_in_words(seconds: float) -> str:
    """A duration as a person says it.

    >>> seconds_in_words(4.2), seconds_in_words(75), seconds_in_words(7322)
    ('4 s', '1 min 15 s', '2 h 02 min')
    """
    hours, rest = divmod(round(seconds), 3600)
    if hours:
        return f"{hours} h {rest // 60:02d} min"
    return f"{rest // 60} min {rest % 60:02d} s" if rest >= 60 else f"{rest} s"
