"""The files that AceNAS' authors made for their predictor: graphs, accuracies, and labels of their super-nets.

`<space>_gt_all.pkl` and `supernet_evaluate_all_test1_<space>.json` are lists of `{"graphs": [{"graph": {node:
[successors]}, "node_tags": [int]}], "hparams": [float], "metrics": {name: value or list of repeats}}`. What the tags
mean is not said in them, so architectures become graphs as such: the space `labelled_graphs`.
"""

import datetime
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from acenas.errors import UserError
from acenas.files import load_plain, reading
from acenas.tables.importers.files import check_file, reading_record, repeats, sha256
from acenas.tables.importers.jsonlist import read_items
from acenas.tables.importers.own import Unit, percent
from acenas.tables.schema import ARCH, Provenance, TableMetadata, write_table

WHAT = "a file of AceNAS such as nasbench101_gt_all.pkl or supernet_evaluate_all_test1_nasbench101.json"

Graph = tuple[list[tuple[int, int]], list[int]]
"""Edges (source, target), and the tag of each node."""

ToArch = Callable[[Sequence[Graph], Sequence[float]], str]
"""The architecture of graphs (edges and tags of each) and hyper-parameters; raises `UserError` where there is none."""

Row = dict[str, list[float]]
"""The repeats of each metric."""


class Imported(NamedTuple):
    """Architectures read, those with weak labels, and the arguments of `LabelledGraphs`."""

    architectures: int
    labelled: int
    graphs: int  # of an architecture
    nodes: int  # of the largest graph
    tags: int  # different ones


def import_acenas(
    path: str | Path,
    out: str | Path,
    to_arch: ToArch,
    dataset: str,
    epochs: int,
    unit: Unit,
    weak: str | Path | None = None,
) -> Imported:
    """Turns the file of accuracies at `path` into a table at `out`.

    For data set D and E epochs the table has, in percent,

    - `D.observed.E`: `accuracy`, the first of its repeats, and with `.s0`, `.s1` ... each of several,
    - `D.test.E`: the mean of `test_acc`, or of `accuracy` where there is none,

    and of `weak`, as they are, `weak.supernet` (the accuracy inside the super-net, `top1`), `D.params_m`, `D.flops_m`;
    these are missing for architectures that `weak` lacks.

    Args:
        path: `.pkl` or `.json`.
        out: the Parquet file to make or replace.
        to_arch: writes an architecture of `LabelledGraphs`.
        dataset: a name for D.
        epochs: E, which the file does not say.
        unit: of the accuracies, which the file does not say either.
        weak: the file of labels.

    Raises:
        UserError: where a file cannot be read or asks to run code, is of another form, has no accuracies, or no
            architecture in common with the other one.
    """
    path = Path(path)
    graphs: list[Graph] = []
    records = _rows(path, to_arch, graphs)
    labels = _rows(Path(weak), to_arch, []) if weak is not None else {}
    if any("accuracy" not in row for row in records.values()):
        raise UserError(f"{path}: a record has no accuracy; give files of labels with --weak")
    if weak is not None and not labels.keys() & records.keys():
        raise UserError(f"no graph of {path} is in {weak}: they are of different spaces")
    observed = [row["accuracy"] for row in records.values()]
    tested = [row.get("test_acc", row["accuracy"]) for row in records.values()]
    accuracies = {
        f"{dataset}.observed.{epochs}": [values[0] for values in observed],
        f"{dataset}.test.{epochs}": [sum(values) / len(values) for values in tested],
        **repeats(f"{dataset}.observed.{epochs}", observed),
    }
    columns = {ARCH: pa.array(list(records))}
    for name, values in accuracies.items():
        columns[name] = pa.array(
            percent(f"{name} of {path}", np.array(values, float), unit), from_pandas=True
        )
    origin = {}
    cheap = {"top1": "weak.supernet", "params": f"{dataset}.params_m", "flops": f"{dataset}.flops_m"}
    for metric, name in cheap.items():
        column = [labels.get(arch, {}).get(metric, [math.nan])[0] for arch in records]
        if not all(map(math.isnan, column)):
            columns[name] = pa.array(column, from_pandas=True)
            origin[name] = _ORIGIN
    metadata = TableMetadata(
        "labelled_graphs",
        source=f"AceNAS (Zhang et al., 2021, arXiv 2108.03001), {path.name}",
        date=datetime.date.today().isoformat(),
        provenance=f"imported by acenas from a file with SHA-256 {sha256(path)}",
        columns=origin,
    )
    write_table(pa.table(columns), out, metadata)
    return Imported(
        architectures=len(records),
        labelled=len(labels.keys() & records.keys()),
        graphs=len(graphs) // len(records),
        nodes=max(len(tags) for _, tags in graphs),
        tags=max(max(tags) for _, tags in graphs) + 1,
    )


_ORIGIN = Provenance(
    images="validation images, as AceNAS' configuration has it",
    weights="super-net of AceNAS' authors",
    duration="not recorded",
)


def _rows(path: Path, to_arch: ToArch, graphs: list[Graph]) -> dict[str, Row]:
    """Returns the metrics of each architecture, those of equal ones as repeats; appends its graphs to `graphs`."""
    check_file(path, WHAT)
    rows: dict[str, Row] = {}
    with reading(path), path.open("rb") as file:
        records = read_items(file, str(path)) if path.suffix == ".json" else load_plain(file, path)
        if not isinstance(records, list | tuple | Iterator):
            raise UserError(f"{path} holds a {type(records).__name__}, not a list of records; name {WHAT}")
        for number, record in enumerate(records):
            with reading_record(f"{path}, record {number:,}", WHAT):
                of_arch = [_graph(one) for one in record["graphs"]]
                arch = to_arch(of_arch, record.get("hparams") or [])
                if arch not in rows:
                    graphs += of_arch
                row = rows.setdefault(arch, {})
                for name, value in record["metrics"].items():
                    row.setdefault(name, []).extend(_numbers(name, value))
    if not rows:
        raise UserError(f"{path} has no records; name {WHAT}")
    return rows


def _graph(record: Mapping[str, Any]) -> Graph:
    """Returns edges and tags; in JSON the nodes are strings."""
    edges = [(int(source), int(target)) for source, targets in record["graph"].items() for target in targets]
    return edges, [int(tag) for tag in record["node_tags"]]


def _numbers(name: str, value: Any) -> list[float]:
    numbers = [float(one) for one in (value if isinstance(value, list | tuple) else [value])]
    if not numbers or not all(map(math.isfinite, numbers)):
        raise ValueError(f"metric {name} is {value!r:.200}, not a number or a list of numbers")
    return numbers
