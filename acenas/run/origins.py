"""The origin of a network, read from the folders of the run that found it and of those that trained it again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acenas.errors import UserError
from acenas.evaluation.objective import Objective
from acenas.files import check_kind, reading, shown
from acenas.markup import code, markdown
from acenas.report import runs
from acenas.tables import BenchmarkTable
from acenas.tables.schema import Latency, parse_column
from acenas.training.final.card import Origin
from acenas.training.final.network import FACTS, NetworkFacts


def read_search(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads the summary and the configuration of a finished search.

    Raises:
        UserError: where there is none in `folder`.
    """
    summary = runs.finished(folder)
    if summary is not None and "returned" in summary:
        config = runs.config_of(folder)
        with reading(folder / runs.CONFIG):
            check_kind(config, {"search": {"_target_": str}})
        return summary, config
    raise UserError(
        f"{folder} is no finished search: name a run's folder that holds a summary.json with a returned architecture; "
        "python -m acenas.status shows how far runs are"
    )


def found(summary: Mapping[str, Any], member: int | None, name: str = "the search") -> dict[str, Any]:
    """What a search returned, or a member of its front: `arch`, what was observed and tested of it, and its costs.

    Args:
        summary: of the search.
        member: number in the front, from 0, the cheapest first; None for what it returned.
        name: of the search, for errors.

    Raises:
        UserError: where there is no front, or no such member.
    """
    if member is None:
        return dict(summary["returned"])
    if not (members := summary.get("front", {}).get("members")):
        raise UserError(
            f"search_member={member}: {name} has no front; it needs a search with search.front=[...]"
        )
    if not 0 <= member < len(members):
        raise UserError(
            f"search_member={member}: the front of {name} has {len(members)} members, 0 to {len(members) - 1}"
        )
    return dict(members[member])


def origin_of_search(
    summary: Mapping[str, Any], config: Mapping[str, Any], member: int | None = None
) -> Origin:
    """Returns how a search found the architecture that it returned, or a member of its front.

    Args:
        summary: of the search.
        config: its resolved configuration.
        member: as in `found`.
    """
    returned, search = found(summary, member), config["search"]
    objective = Objective.of(summary.get("objective", "accuracy"))
    observed = shown(returned[objective.column], objective.unit)
    where = f"{summary['table']} {summary['dataset']}".strip()
    labels = config.get("weak_labels") or []
    ranker = (config.get("ranker") or {}).get("_target_", "none").rpartition(".")[2]
    confidence = search.get("confidence")
    unless = (
        f", or one better than it with a probability of {confidence:.0%}, noise aside" if confidence else ""
    )
    beside = ", ".join(f"`{code(name)}`" for name in summary.get("front", {}).get("costs", {}))
    lines = [
        f"It was found by the search `{code(summary['experiment'])}` (seed {summary['seed']}) of acenas in the space "
        f"`{code(summary['space'])}`, with {markdown(search['_target_'].rpartition('.')[2])} and the ranker "
        f"{markdown(ranker)}.",
        f"The search trained {summary['trained']} architectures in all ({markdown(where)}) and returned "
        + (
            f"the one with the best observed {objective.name} among them{unless}: {markdown(observed)} of this one."
            if member is None
            else f"a front of {objective.name} and {beside}; this is number {member + 1} of "
            f"{len(summary['front']['members'])}, with an observed {objective.name} of {markdown(observed)}."
        ),
        "The ranker learned first from the weak labels "
        + ", ".join(f"`{code(label)}`" for label in labels)
        + "."
        if labels
        else "No weak labels were used.",
    ]
    latency = _latencies(config.get("table"), returned["arch"])
    if constraints := summary.get("constraints"):
        origins = constraints["origins"]
        costs = constraints["returned"] if member is None else returned["costs"]
        kept = [
            f"`{code(name)}` ≤ {limit:g}"
            + (
                f" (it has {costs[name]:.4g}: {markdown(origins.get(name, 'of unknown origin'))})"
                if name in costs
                else ""
            )
            for name, limit in constraints["limits"].items()
        ]
        lines.append(f"Architectures had to keep to {', '.join(kept)}.")
        prefix = "latency_ms."
        latency = {n.removeprefix(prefix): v for n, v in costs.items() if n.startswith(prefix)} | latency
    return Origin(lines, latency)


def _latencies(table: Mapping[str, Any] | None, arch: str) -> dict[str, float]:
    """Returns the latencies of `arch` in the table of the search, by device; none where its file is gone."""
    if not table or not Path(table["path"]).is_file():
        return {}
    opened = BenchmarkTable.open(table["path"], space=table["space"])
    columns = {name: parse_column(name) for name in opened.columns}
    (row,) = opened.rows([arch])
    found = {
        column.device: float(opened.column(name)[row])
        for name, column in columns.items()
        if isinstance(column, Latency) and column.dataset == table["dataset"]
    }
    return {device: value for device, value in found.items() if not math.isnan(value)}


def same_training(facts: NetworkFacts, folder: Path) -> dict[int, dict[str, float]]:
    """Returns the accuracies of the final trainings that differ from `facts` in the seed alone, by seed.

    Args:
        facts: of the final training of a run.
        folder: of the run; the runs beside it are searched.
    """
    found = {facts.seed: dict(facts.accuracy)}
    for path in sorted(folder.parent.glob(f"*/final/{FACTS}")):
        try:
            other = NetworkFacts.load(path)
        except UserError:
            continue  # of another version, or damaged; only the network of `facts` is exported
        if (other.space, other.arch, other.training) == (facts.space, facts.arch, facts.training):
            found[other.seed] = dict(other.accuracy)
    return dict(sorted(found.items()))
