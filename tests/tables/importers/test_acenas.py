import json
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acenas.errors import UserError
from acenas.spaces import LabelledGraphs
from acenas.tables import BenchmarkTable
from acenas.tables.command import main
from acenas.tables.importers.acenas import Imported, import_acenas

Record = dict[str, Any]


def record(tags: list[int], metrics: dict[str, Any], hparams: Any = None) -> Record:
    """Two cells; the second is the same for all."""
    graph = {node: [node + 1, len(tags) - 1][: len(tags) - 1 - node] for node in range(len(tags))}
    first = {"graph": {k: sorted(set(v)) for k, v in graph.items()}, "node_tags": tags}
    return {
        "graphs": [first, {"graph": {0: [1], 1: []}, "node_tags": [0, 1]}],
        "hparams": hparams,
        "metrics": metrics,
    }


KNOWN = [
    record([0, 2, 3, 1], {"accuracy": [0.9, 0.92], "test_acc": 0.88}, [16.0, 20.0]),
    record([0, 3, 1], {"accuracy": 0.95}, [32.0, 8.0]),
    record([0, 2, 1], {"accuracy": np.float64(0.5)}, [32.0, 8.0]),
]
WEAK = [
    record([0, 3, 1], {"top1": 0.7, "flops": 12.5, "params": 3.25}, [32.0, 8.0]),
    record([0, 2, 3, 1], {"top1": 0.6, "flops": 10.0, "params": 2.0}, [16.0, 20.0]),
    record([0, 4, 4, 1], {"top1": 0.1, "flops": 1.0, "params": 1.0}, [16.0, 20.0]),
]
ARCHS = [
    "0-1,0-3,1-2,1-3,2-3:0,2,3,1/0-1:0,1;16,20",
    "0-1,0-2,1-2:0,3,1/0-1:0,1;32,8",
    "0-1,0-2,1-2:0,2,1/0-1:0,1;32,8",
]


def files(folder: Path, known: Any = KNOWN, weak: Any = WEAK) -> tuple[Path, Path]:
    gt, labels = folder / "nds_x_gt_all.pkl", folder / "nds_supernet_evaluate_all_test1_x.json"
    gt.write_bytes(pickle.dumps(known))
    labels.write_text(json.dumps(weak))
    return gt, labels


def imported(gt: Path, labels: Path | None, unit: Any = "fraction") -> Imported:
    return import_acenas(gt, gt.parent / "out.parquet", LabelledGraphs.write, "cifar10", 9, unit, labels)


def test_graphs_accuracies_and_labels_become_a_table(tmp_path: Path) -> None:
    assert imported(*files(tmp_path)) == Imported(3, 2, graphs=2, nodes=4, tags=4)
    table = BenchmarkTable.open(tmp_path / "out.parquet", space="labelled_graphs")
    table.check()
    assert table.archs == ARCHS, (
        "nodes are strings in JSON and numbers in the pickle, and the graphs are the same"
    )
    expected: dict[str, list[float]] = {
        "cifar10.observed.9": [90, 95, 50],
        "cifar10.observed.9.s1": [92, np.nan, np.nan],
        "cifar10.test.9": [88, 95, 50],
        "weak.supernet": [0.6, 0.7, np.nan],
        "cifar10.flops_m": [10, 12.5, np.nan],
        "cifar10.params_m": [2, 3.25, np.nan],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(table.column(name), values, err_msg=name)
    assert "super-net of AceNAS" in table.metadata.columns["weak.supernet"].weights


def test_accuracies_alone_do(tmp_path: Path) -> None:
    gt, _ = files(tmp_path, [OrderedDict(one) for one in KNOWN])
    assert imported(gt, None).labelled == 0
    assert "weak.supernet" not in BenchmarkTable.open(tmp_path / "out.parquet").columns


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("run",)


def without(key: str) -> Record:
    return {name: value for name, value in KNOWN[0].items() if name != key}


def graph(edges: dict[int, list[int]]) -> Record:
    return KNOWN[0] | {"graphs": [{"graph": edges, "node_tags": [0, 1, 2]}]}


@pytest.mark.parametrize(
    ("known", "weak", "unit", "message"),
    [
        (Evil(), WEAK, "fraction", "asks for builtins.print"),
        ({"a": 1}, WEAK, "fraction", "holds a dict, not a list of records"),
        ([], WEAK, "fraction", "has no records"),
        ([without("graphs")], WEAK, "fraction", "record 0: there is no 'graphs'"),
        ([graph({1: [0]})], WEAK, "fraction", "edge 1-0 does not lead to a higher node"),
        (
            [KNOWN[0] | {"graphs": [{"graph": {}, "node_tags": [float("inf")]}]}],
            WEAK,
            "fraction",
            "record 0: .*infinity",
        ),
        (np.zeros(3), WEAK, "fraction", "holds a ndarray, not a list of records"),
        ([graph({0: [5]})], WEAK, "fraction", "edge 0-5 does not lead to a higher node among 3"),
        (WEAK, None, "fraction", "a record has no accuracy; give files of labels with --weak"),
        ([record([0, 1], {"accuracy": []})], None, "fraction", r"metric accuracy is \[\], not a number"),
        ([record([0, 1], {"accuracy": "good"})], None, "fraction", "could not convert"),
        (KNOWN, WEAK[2:], "fraction", "no graph of .* is in .*: they are of different spaces"),
        (KNOWN, WEAK, "percent", "nothing above 1.*--unit fraction"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, known: Any, weak: Any, unit: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    gt, labels = files(tmp_path, known, weak)
    with pytest.raises(UserError, match=message):
        imported(gt, labels if weak is not None else None, unit)
    assert not (tmp_path / "out.parquet").exists()
    assert capsys.readouterr().out == "", "nothing was run"


def test_the_command_says_how_to_rank_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gt, labels = files(tmp_path)
    out = tmp_path / "acenas_x.parquet"
    options = ["--dataset", "cifar10", "--epochs", "9", "--unit", "fraction", "--out", str(out)]
    assert main(["import", "acenas", str(gt), "--weak", str(labels), *options]) == 0
    shown = capsys.readouterr().out
    assert "3 architectures" in shown and "2 with weak labels" in shown
    assert "table.epochs=9 space.graphs=2 space.nodes=4 space.tags=4" in shown
    assert main(["verify", str(out), "--space", "labelled_graphs"]) == 0
    assert "was not checked" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "content",
    [
        np.zeros(3),
        np.float64(1),
        5,
        [1],
        {"a": 1},
        "abc",
        [{"graphs": 5}],
        [{"graphs": [{"graph": [1], "node_tags": 3}]}],
        [{"graphs": [{"graph": {0: [float("inf")]}, "node_tags": [float("inf")]}]}],
    ],
)
@pytest.mark.parametrize("suffix", ["pkl", "json"])
def test_wrong_values_in_a_sound_file_are_one_sentence(tmp_path: Path, content: Any, suffix: str) -> None:
    path = tmp_path / f"some_gt_all.{suffix}"
    plain = content.tolist() if isinstance(content, np.ndarray | np.generic) else content
    path.write_bytes(pickle.dumps(content) if suffix == "pkl" else json.dumps(plain).encode())
    with pytest.raises(UserError, match=rf"some_gt_all.{suffix}"):
        import_acenas(path, tmp_path / "out.parquet", LabelledGraphs.write, "c", 1, "fraction")
