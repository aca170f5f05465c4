"""Reads a run's folder: whether a process works in it, whether the run is done, and what came out.

Nothing heavy is imported here, so that a finished run is shown at once. `acenas.run.folder` writes what is read here.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from acenas.errors import UserError
from acenas.files import Kind, check_kind, is_held, number, read_json, reading, shown

SUMMARY = "summary.json"
"""Written last: it says that a run is done."""

PAGE = "report.html"
"""Of a finished search; a benchmark makes none unless it is asked to."""

OVERRIDES = ".hydra/overrides.yaml"
"""What the configuration was composed with; Hydra's own name, as in the folders of other programs."""

IDENTITY = "run.json"
"""What a person calls the run, and how it came about: `acenas.report.identity`."""

CONFIG = "config.yaml"
"""The resolved configuration."""

STATUS = "status.json"
"""How far a run is: `acenas.report.live.status.RunStatus`."""

ERROR = "error.txt"
"""Why the last process in the folder gave up."""

PRUNED = "pruned.txt"
"""Why a hyper-parameter search gave the run up."""

LOCK = ".lock"
"""Held by the process that works in the folder; it is in the folder of every run that has begun."""


def run_folders(root: Path) -> Iterator[Path]:
    """The run folders at or below `root`: those that a process has locked once, and finished studies.

    What lies in them is not looked at, nor are folders that cannot be read.
    """
    with suppress(PermissionError):
        if (root / LOCK).exists() or (root / SUMMARY).exists():
            yield root
        elif root.is_dir():
            for child in sorted(root.iterdir()):
                if child.is_dir() and not child.is_symlink() and not child.name.startswith("."):
                    yield from run_folders(child)


def is_running(folder: Path) -> bool:
    """Whether a process of this machine works in the folder."""
    return (folder / LOCK).is_file() and is_held(folder / LOCK)


def state(folder: Path) -> tuple[str, str]:
    """`done`, `running`, `pruned`, `failed` or `stopped` (killed or interrupted), and why, in a line, where known."""
    try:
        if finished(folder) is not None:
            return "done", ""
    except UserError as error:
        return "failed", str(error)
    if is_running(folder):
        return "running", ""
    for file, name in ((PRUNED, "pruned"), (ERROR, "failed")):
        if (folder / file).is_file():
            lines = (folder / file).read_text(encoding="utf-8", errors="replace").strip().splitlines()
            return name, lines[0] if lines else ""
    return "stopped", ""


def is_done(folder: Path, page: bool) -> bool:
    """Whether the run is done; with a `page` only where that is there, too, if it is one of a search.

    Raises:
        UserError: where its summary is damaged.
    """
    summary = finished(folder)
    return summary is not None and (not page or "returned" not in summary or (folder / PAGE).exists())


def finished(folder: Path) -> dict[str, Any] | None:
    """The summary of a run that is done, else None. Raises `UserError` where it is damaged."""
    file = folder / SUMMARY
    return read_json(file, _SUMMARY, MADE_AGAIN) if file.exists() else None


MADE_AGAIN = "remove it, and the same command makes it again"
"""What to do about a damaged summary."""

_MAYBE = (float, type(None))
_SUMMARY = {
    "experiment?": str,
    "seed?": int,
    "space?": str,
    "table?": str,
    "dataset?": str,
    "objective?": {"name": str, "unit": str, "direction": str},
    "trained?": int,
    "failed?": int,
    "given?": int,
    "best_given?": {"arch?": str, str: _MAYBE},
    "returned?": {"arch?": str, "costs?": {str: _MAYBE}, str: _MAYBE},
    "best_known?": ({"arch?": str, str: _MAYBE}, type(None)),
    "regret?": _MAYBE,
    "metrics?": {str: _MAYBE},
    "curve?": [{"trained": int, str: _MAYBE}],
    "epochs?": {"budget": _MAYBE, "paid": float, "full": float, "stopped": int},
    "constraints?": {"limits": {str: float}, "returned": {str: _MAYBE}, "origins": {str: str}},
    "front?": {
        "costs": {str: str},
        "reference_point": {str: float},
        "hypervolume": _MAYBE,
        "hypervolume_share": _MAYBE,
        "igd_plus": _MAYBE,
        "found": _MAYBE,
        "members": [{"arch": str, "costs": {str: float}, "knee": bool, str: _MAYBE}],
        "knee": (int, type(None)),
    },
    "seconds?": {"total": float, str: float},
    "cpu_seconds?": {"total": float, str: float},
    "weak_labels?": {str: {"kendall": float, "architectures": int}},
    "final?": {"arch": str, "accuracy": {str: _MAYBE}},
    "measured?": str,
    "export?": [str],
}
"""What a summary holds, by the stages of the run; see `acenas.files.Kind`."""


def config_of(folder: Path, name: str = CONFIG) -> dict[str, Any]:
    """The configuration of a run, in the file `name` of its folder, as plain values: it may come from a stranger.

    Raises:
        UserError: Where there is none, or it is not what a run writes.
    """
    file = folder / name
    if not file.is_file():
        raise UserError(f"{folder} is no run's folder: there is no {name} in it")
    return {str(key): value for key, value in read_yaml(file, {str: object}).items()}


def read_yaml(file: Path, kind: Kind) -> Any:
    """What a YAML file of a run holds. Raises `UserError` where it is not of this kind, or not what a run writes."""
    with reading(file):
        found = yaml.load(file.read_text(encoding="utf-8"), _PlainYAML)
        check_kind(found, kind)
        return found


def flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the values of a configuration with their dotted keys, as in `search.budget`."""
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


class _PlainYAML(yaml.SafeLoader):
    """YAML as runs write it: without references, which can make much of little."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it holds references, which no run writes")
        return super().compose_node(parent, index)


def points(unit: str) -> str:
    """The unit of differences of values: of percent it is points."""
    return "points" if unit == "%" else unit


def difference(value: float | None, unit: str) -> str:
    """A difference of two values, as `shown` writes these.

    >>> difference(1.438, "%"), difference(0.5, "ms")
    ('1.44 points', '0.5 ms')
    """
    return shown(value, unit).replace("%", "points")


def objective_of(summary: Mapping[str, Any]) -> dict[str, str]:
    """`name`, `unit` and `direction` of what a run searched for."""
    return {"name": "accuracy", "unit": "%", "direction": "max", **summary.get("objective", {})}


def headline(summary: Mapping[str, Any], method: str = "") -> str:
    """The result of a finished run in a few lines of plain text.

    Args:
        summary: the content of `summary.json`.
        method: what the run is called; its experiment by default.
    """
    method = method or summary["experiment"]
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
        return "\n".join([f"{method}, seed {summary['seed']}: {seconds}", *lines])
    returned, best, metrics = summary["returned"], summary["best_known"], summary["metrics"]
    name, unit, _ = objective_of(summary).values()
    observed = f"Observed {name} {shown(returned[f'observed_{name}'], unit)}"
    where = f"{summary['table']} {summary['dataset']}".strip()
    failed = f" ({summary['failed']} failed)" if summary.get("failed") else ""
    given = f", {summary['given']} given," if summary.get("given") else ""
    epochs = ""
    if (counted := summary.get("epochs")) and counted["budget"] is not None:
        epochs = f", {counted['stopped']} of them stopped early, for {counted['paid']:.5g} epochs,"
    return "\n".join(
        [
            f"{method} on {where}, seed {summary['seed']}: "
            f"{summary['trained']} architectures trained{failed}{epochs}{given} in {seconds}",
            *lines,
            f"Returned: {returned['arch']}",
            f"{observed}; nobody knows a test value."
            if best is None
            else f"{observed}, test {name} {shown(returned[f'test_{name}'], unit)}; the best known has "
            f"{shown(best[f'test_{name}'], unit)} (test regret {difference(summary['regret'], unit)}).",
            *(
                f"Of the given, {best_given['arch']} has {shown(best_given[f'observed_{name}'], unit)}."
                for best_given in [summary.get("best_given")]
                if best_given
            ),
            *(
                f"Constraint {name} <= {limit:g}: {summary['constraints']['returned'][name]:.4g} "
                f"({summary['constraints']['origins'][name]})."
                for name, limit in summary.get("constraints", {}).get("limits", {}).items()
            ),
            *([_front_in_words(summary)] if summary.get("front") else []),
            f"Ranking of the space: NDCG@10 {number(metrics['ndcg@10'], 3)}, Kendall {number(metrics['kendall'], 3)}.",
        ]
    )


def _front_in_words(summary: Mapping[str, Any]) -> str:
    """How many members the front has, how good it is, and which of them is at its knee."""
    front, name = summary["front"], objective_of(summary)["name"]
    share, members, bend = front["hypervolume_share"], front["members"], front["knee"]
    known = "" if share is None else f" with {number(share, 3)} of the true front's hypervolume"
    knee = "" if bend is None else f"; its knee is {bend}: {members[bend]['arch']}"
    return f"Front of {', '.join([name, *front['costs']])}: {len(members)} architectures{known}{knee}."
