from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from acenas.errors import UserError
from acenas.tables.schema import Provenance, TableMetadata, write_table
from acenas.tables.table import BenchmarkTable
from acenas.tables.weak_labels import COUNTED_PROVENANCE, WeakLabels

SUPERNET = Provenance("validation images", "super-net of 16 channels", "10 s")
NAMES = ["weak.supernet", "d.flops_m", "d.latency_ms.phone"]


@pytest.fixture
def table(tmp_path: Path) -> BenchmarkTable:
    frame = pd.DataFrame(
        {
            "arch": ["a", "b", "c"],
            "d.valid.1": [10.0, 20.0, 30.0],
            "d.observed.1": [10.0, 20.0, 30.0],
            "d.test.1": [10.0, 20.0, 30.0],
            "weak.supernet": [1.0, None, 3.0],
            "d.flops_m": [4.0, 5.0, 6.0],
            "d.latency_ms.phone": [None, 8.0, 9.0],
            "weak.of.test": [1.0, 2.0, 3.0],
            "d.train_seconds.1": [1.0, 2.0, 3.0],
            "index": [0, 1, 2],
        }
    )
    write_table(frame, tmp_path / "t.parquet", TableMetadata("toy", columns={"weak.supernet": SUPERNET}))
    return BenchmarkTable.open(tmp_path / "t.parquet")


def test_labels_come_in_the_order_asked_for_with_nan_where_missing(table: BenchmarkTable) -> None:
    labels = WeakLabels.from_table(table, NAMES)
    values = labels.values(["c", "unknown", "a", "c"])
    nan = np.nan
    np.testing.assert_array_equal(values, [[3, 6, 9], [nan, nan, nan], [1, 4, nan], [3, 6, 9]])
    assert values.dtype == np.float64
    assert labels.space == "toy"
    assert len(labels) == 3
    pd.testing.assert_frame_equal(
        labels.frame(),
        pd.read_parquet(table.path, columns=["arch", *NAMES]).set_index("arch"),
        check_index_type=False,
    )


def test_a_column_may_have_any_name_and_a_cost_no_data_set(table: BenchmarkTable) -> None:
    labels = WeakLabels.from_table(table, ["index", "flops_m"], {"flops_m": "d.flops_m"})
    np.testing.assert_array_equal(labels.values(["b", "c"]), [[1, 5], [2, 6]])
    assert labels.provenance["flops_m"] == COUNTED_PROVENANCE
    labels.save(table.path.with_name("labels.parquet"))
    assert WeakLabels.load(table.path.with_name("labels.parquet")).names == ["index", "flops_m"]


def test_every_label_says_where_it_comes_from(table: BenchmarkTable) -> None:
    labels = WeakLabels.from_table(table, NAMES)
    assert labels.provenance == {
        "weak.supernet": SUPERNET,
        "d.flops_m": COUNTED_PROVENANCE,
        "d.latency_ms.phone": Provenance(),
    }


def test_no_labels_and_no_architectures_are_fine(table: BenchmarkTable) -> None:
    assert WeakLabels.from_table(table, []).values(["a", "b"]).shape == (2, 0)
    assert WeakLabels("toy", [], ["weak.x"], np.zeros((0, 1)), {"weak.x": COUNTED_PROVENANCE}).values(
        ["a"]
    ).shape == (
        1,
        1,
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("d.test.1", "is a test accuracy, which no search may see"),
        ("d.test.1.s0", "is a test accuracy"),
        ("weak.of.test", "is a test accuracy"),
        ("d.observed.1", "accuracy of trained architectures.*budget; choose weak labels such as"),
        ("d.valid.1", "accuracy of trained architectures"),
        ("d.train_seconds.1", "is not a weak label"),
        ("val_TEST_loss", "is a test accuracy"),
        ("arch", "is not a weak label"),
    ],
)
def test_accuracies_never_become_labels(table: BenchmarkTable, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        WeakLabels.from_table(table, ["weak.supernet", name])
    with pytest.raises(UserError, match=message):
        WeakLabels("toy", ["a"], [name], np.zeros((1, 1)), {name: Provenance()})


def test_wrong_frames_are_refused(table: BenchmarkTable) -> None:
    with pytest.raises(UserError, match=r"no column weak\.supernot; the nearest are weak\.supernet"):
        WeakLabels.from_table(table, ["weak.supernot"])
    with pytest.raises(UserError, match=r"weak label weak\.x: say in its provenance"):
        WeakLabels("toy", ["a"], ["weak.x"], np.zeros((1, 1)), {})
    with pytest.raises(UserError, match="named twice"):
        WeakLabels.from_table(table, ["weak.supernet", "weak.supernet"])
    with pytest.raises(UserError, match="architecture a is there twice"):
        WeakLabels("toy", ["a", "a"], ["weak.x"], np.zeros((2, 1)), {"weak.x": COUNTED_PROVENANCE})
    with pytest.raises(ValueError, match="shape"):
        WeakLabels("toy", ["a"], ["weak.x"], np.zeros((1, 2)), {"weak.x": COUNTED_PROVENANCE})


def test_short_trainings_are_labels_where_they_are_declared(table: BenchmarkTable) -> None:
    labels = WeakLabels.from_table(
        table, ["weak.short", "d.flops_m"], {"weak.short": "d.valid.1", "weak.other": "no.such.column"}
    )
    np.testing.assert_array_equal(labels.values(["b", "a"]), [[20, 5], [10, 4]])
    assert labels.provenance["weak.short"].duration == "a training of 1 epochs, not in the budget"
    for name, column, message in (
        ("weak.short", "d.test.1", "is not a validation accuracy"),
        ("weak.short", "weak.supernet", "is not a validation accuracy"),
        ("d.params_m", "d.valid.1", "call the accuracy of a short training weak"),
        ("d.valid.1", "d.observed.1", "a search must pay for from its budget"),
    ):
        with pytest.raises(UserError, match=message):
            WeakLabels.from_table(table, [name], {name: column})


def test_labels_come_back_from_their_file(table: BenchmarkTable, tmp_path: Path) -> None:
    labels = WeakLabels.from_table(table, NAMES)
    labels.save(tmp_path / "labels.parquet")
    loaded = WeakLabels.load(tmp_path / "labels.parquet", space="toy")
    assert (loaded.names, loaded.archs, loaded.provenance) == (labels.names, labels.archs, labels.provenance)
    np.testing.assert_array_equal(loaded.values(loaded.archs), labels.values(labels.archs))
    with pytest.raises(UserError, match="of the space toy, not nasbench201"):
        WeakLabels.load(tmp_path / "labels.parquet", space="nasbench201")


def test_labels_of_two_sources_stand_beside_each_other(table: BenchmarkTable) -> None:
    one = WeakLabels.from_table(table, ["weak.supernet"])
    two = WeakLabels(
        "toy", ["c", "a"], ["d.flops_m"], np.array([[6.0], [4.0]]), {"d.flops_m": COUNTED_PROVENANCE}
    )
    both = one.beside(two)
    np.testing.assert_array_equal(both.values(["a", "b", "c"]), [[1, 4], [np.nan, np.nan], [3, 6]])
    assert both.provenance == {"weak.supernet": SUPERNET, "d.flops_m": COUNTED_PROVENANCE}
    with pytest.raises(UserError, match="named twice"):
        both.beside(two)
    with pytest.raises(ValueError, match="do not go together"):
        one.beside(WeakLabels("other", ["a"], [], np.zeros((1, 0)), {}))
