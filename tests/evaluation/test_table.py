import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from acenas.errors import UserError
from acenas.evaluation.base import Evaluator, Judge, Result
from acenas.evaluation.curves import Curve, NeverStop, StopRule
from acenas.evaluation.objective import Objective
from acenas.evaluation.table import TableEvaluator, TableJudge
from acenas.run.config import conf_dir
from acenas.tables.schema import TableMetadata, write_table

TOY = pd.DataFrame(
    {
        "arch": ["a", "b", "c"],
        "d.valid.1": [10.0, 20.0, 30.0],
        "d.valid.1.s0": [10.5, None, 30.5],
        "d.test.1": [11.0, 21.0, 31.0],
        "d.train_seconds.1": [100.0, None, 300.0],
        "weak.x": [1.0, 2.0, 3.0],
    }
)


@pytest.fixture
def path(tmp_path: Path) -> str:
    write_table(TOY, tmp_path / "toy.parquet", TableMetadata("toy"))
    return str(tmp_path / "toy.parquet")


def test_the_evaluator_shows_observed_accuracies_and_costs(path: str) -> None:
    evaluator = TableEvaluator(path, "toy", "d.valid.1", "d.train_seconds.1")
    assert isinstance(evaluator, Evaluator)
    seen = evaluator.evaluate(["c", "a", "b"])
    assert list(seen.archs) == ["c", "a", "b"]
    assert seen.observed_accuracy.tolist() == [30.0, 10.0, 20.0]
    np.testing.assert_array_equal(seen.seconds, [300.0, 100.0, np.nan])
    assert np.isnan(TableEvaluator(path, "toy", "d.valid.1").evaluate(["a"]).seconds).all()


def test_further_trainings_are_in_further_columns(tmp_path: Path) -> None:
    seeds = {
        "d.valid.1.s1": [10.1, 20.1, 30.1],
        "d.valid.1.s2": [10.2, 20.2, 30.2],
        "other": [10.3, 20.3, 30.3],
    }
    write_table(TOY.assign(**seeds), tmp_path / "toy.parquet", TableMetadata("toy"))
    path = str(tmp_path / "toy.parquet")
    evaluator = TableEvaluator(path, "toy", "d.valid.1")
    assert evaluator.repeats == 3
    shown = [evaluator.repeated(number).evaluate(["b"]).observed_accuracy.tolist() for number in range(3)]
    assert shown == [[20.0], [20.1], [20.2]]
    named = TableEvaluator(path, "toy", "d.valid.1", repeats=["other"])
    assert named.repeats == 2 and named.repeated(1).evaluate(["b"]).observed_accuracy.tolist() == [20.3]
    assert TableEvaluator(path, "toy", "d.valid.1", repeats=[]).repeats == 1
    with pytest.raises(
        UserError, match=r"table\.repeats names d\.test\.1, but test accuracies are for the report"
    ):
        TableEvaluator(path, "toy", "d.valid.1", repeats=["d.test.1"])


def test_the_judge_shows_test_accuracies(path: str) -> None:
    judge = TableJudge(path, "toy", "d.test.1")
    assert isinstance(judge, Judge)
    assert judge.test_accuracy(["b", "b", "a"]).tolist() == [21.0, 21.0, 11.0]
    archs, values = judge.known()
    assert (archs, values.tolist()) == (["a", "b", "c"], [11.0, 21.0, 31.0])


def test_known_leaves_out_what_nobody_measured(path: str) -> None:
    archs, values = TableEvaluator(path, "toy", "d.valid.1.s0").known()
    assert (archs, values.tolist()) == (["a", "c"], [10.5, 30.5])


def test_the_evaluator_never_reads_a_test_accuracy(path: str) -> None:
    # With every byte of the test column's values overwritten, only somebody who reads them can fail.
    footer = pq.read_metadata(path)
    column = footer.row_group(0).column(footer.schema.names.index("d.test.1"))
    start = column.dictionary_page_offset or column.data_page_offset
    content = bytearray(Path(path).read_bytes())
    content[start : start + column.total_compressed_size] = os.urandom(column.total_compressed_size)
    Path(path).write_bytes(content)
    evaluator = TableEvaluator(path, "toy", "d.valid.1", "d.train_seconds.1")
    assert evaluator.evaluate(["a", "b"]).observed_accuracy.tolist() == [10.0, 20.0]
    assert evaluator.known()[1].tolist() == [10.0, 20.0, 30.0]
    with pytest.raises(UserError, match=r"damaged|checksum"):
        TableJudge(path, "toy", "d.test.1")


def test_the_evaluator_cannot_be_asked_for_another_column(path: str) -> None:
    evaluator = TableEvaluator(path, "toy", "d.valid.1")
    evaluator._column = "d.test.1"
    for ask in (lambda: evaluator.evaluate(["a"]), evaluator.known):
        with pytest.raises(UserError, match=r"column d\.test\.1 of .* was not opened"):
            ask()


@pytest.mark.parametrize(
    ("observed", "message"),
    [
        ("d.test.1", r"test accuracies are for the report only; choose a column such as d\.valid\.1"),
        ("d.test.1.s0", "for the report only"),
        ("weak.x", "holds no accuracy"),
        ("d.train_seconds.1", "holds no accuracy"),
        ("d.observed.1", r"no column d\.observed\.1"),
    ],
)
def test_columns_that_are_not_observed_are_refused(path: str, observed: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TableEvaluator(path, "toy", observed)


def test_a_cost_or_a_report_from_the_wrong_column_is_refused(path: str) -> None:
    with pytest.raises(UserError, match=r"the column of seconds is d\.test\.1"):
        TableEvaluator(path, "toy", "d.valid.1", "d.test.1")
    with pytest.raises(UserError, match="holds no accuracy"):
        TableJudge(path, "toy", "weak.x")


def test_unknown_architectures_and_spaces_are_refused(path: str) -> None:
    with pytest.raises(UserError, match="does not know architecture z"):
        TableEvaluator(path, "toy", "d.valid.1").evaluate(["a", "z"])
    with pytest.raises(UserError, match="does not know architecture z"):
        TableJudge(path, "toy", "d.test.1").test_accuracy(["z"])
    with pytest.raises(UserError, match="not nasbench201"):
        TableEvaluator(path, "nasbench201", "d.valid.1")


def test_the_real_table_gives_the_published_reference_figures() -> None:
    data_dir = os.environ.get("ACENAS_DATA")
    if not data_dir or not (Path(data_dir) / "nb201.parquet").exists():
        pytest.skip("ACENAS_DATA names no folder with nb201.parquet")
    table = str(Path(data_dir) / "nb201.parquet")
    for observed, test, best, of_best_observed in [
        ("cifar10.valid.200", "cifar10.test.200", 94.37, 94.37),
        ("cifar100.observed.200", "cifar100.test.200", 73.51, 73.48),
    ]:
        archs, values = TableEvaluator(table, "nasbench201", observed).known()
        judge = TableJudge(table, "nasbench201", test)
        assert len(archs) == 15625
        assert judge.known()[1].max() == pytest.approx(best, abs=0.005)
        chosen = judge.test_accuracy([archs[int(values.argmax())]])
        assert chosen[0] == pytest.approx(of_best_observed, abs=0.005)


FREE = pd.DataFrame(
    {
        "arch": ["a", "b", "c"],
        "lm.perplexity": [120.5, None, 98.0],
        "lm.test_perplexity": [121.0, None, 99.0],
        "top1": [10.0, 20.0, 130.0],
        "hours": [1.0, 2.0, 3.0],
    }
)
PERPLEXITY = Objective("perplexity", "", "min")


@pytest.mark.parametrize("written", [True, False])
def test_columns_of_any_name_are_what_the_protocol_says(tmp_path: Path, written: bool) -> None:
    path = tmp_path / "free.parquet"
    if written:
        write_table(FREE, path, TableMetadata("mine", unit="none"))
    else:  # as others write it: without any metadata
        FREE.to_parquet(path)
    evaluator = TableEvaluator(str(path), "mine", "lm.perplexity", "hours", {"name": "loss", "unit": ""})
    assert evaluator.objective == Objective("loss", "", "max")
    seen = evaluator.evaluate(["c", "b"])
    np.testing.assert_array_equal(seen.observed_accuracy, [98.0, np.nan])
    np.testing.assert_array_equal(seen.seconds, [3.0, 2.0])
    assert evaluator.known()[0] == ["a", "c"]
    judge = TableJudge(str(path), "mine", "lm.test_perplexity", PERPLEXITY)
    np.testing.assert_array_equal(judge.test_accuracy(["b", "a"]), [np.nan, 121.0])
    with pytest.raises(UserError, match=r"lm\.test_perplexity, but test values are for the report only"):
        TableEvaluator(str(path), "mine", "lm.test_perplexity", objective=PERPLEXITY)
    for make in (TableEvaluator, TableJudge):
        with pytest.raises(UserError, match=r"top1 of .*row 2 holds 130, but accuracies are in percent"):
            make(str(path), "mine", "top1")
    assert TableEvaluator(str(path), "mine", "top1", objective=PERPLEXITY).known()[1].max() == 130


def test_infinite_values_and_text_are_no_objective(tmp_path: Path) -> None:
    FREE.assign(top1=[1.0, np.inf, 2.0], hours="x").to_parquet(tmp_path / "free.parquet")
    for column, message in (("top1", "a value is infinite"), ("hours", "not numbers")):
        with pytest.raises(UserError, match=message):
            TableEvaluator(str(tmp_path / "free.parquet"), "mine", column, objective=PERPLEXITY)


def test_the_shared_tables_open_as_they_are() -> None:
    data_dir = os.environ.get("ACENAS_DATA")
    if not data_dir or not (Path(data_dir) / "gpt-s.parquet").exists():
        pytest.skip("ACENAS_DATA names no folder with gpt-s.parquet")
    for name, column, unit, count in (
        ("transnas-micro", "autoencoder.valid_ssim", "", 4096),
        ("transnas-micro", "class_scene.valid_top1", "%", 4096),
        ("accel-imagenet", "imagenet.valid.proxy", "%", 2562),
        ("gpt-s", "supernet.perplexity", "", 10000),
    ):
        evaluator = TableEvaluator(
            str(Path(data_dir) / f"{name}.parquet"), name, column, objective={"name": "x", "unit": unit}
        )
        assert len(evaluator.known()[0]) == count


class StopAfter(StopRule):
    """Stops a training at the first point after so many epochs that shows less than `least`."""

    def __init__(self, epochs: float, least: float = np.inf) -> None:
        self.epochs, self.least = epochs, least

    def goes_on(self, arch: str, curve: Curve) -> bool:
        return not any(epoch >= self.epochs and value < self.least for epoch, value in curve)


COURSE = pd.DataFrame(
    {
        "arch": ["a", "b", "c"],
        "d.valid.4": [10.0, 20.0, 30.0],
        "d.valid.12": [15.0, 25.0, 35.0],
        "d.valid.36": [20.0, 40.0, 38.0],
        "d.valid.4.s0": 5.0,
        "d.test.4": 5.0,
        "d.test.36": 99.0,
        "d.train_seconds.36": [360.0, 720.0, 36.0],
    }
)


@pytest.fixture
def course(tmp_path: Path) -> str:
    write_table(COURSE, tmp_path / "course.parquet", TableMetadata("toy"))
    return str(tmp_path / "course.parquet")


@pytest.mark.parametrize(
    "curve", [["d.valid.4", "d.valid.12"], "d.valid.*", {4: "d.valid.4", 12.0: "d.valid.12"}]
)
def test_shorter_trainings_are_points_on_the_way_of_one(course: str, curve: Any) -> None:
    evaluator = TableEvaluator(course, "toy", "d.valid.36", "d.train_seconds.36", curve=curve)
    assert evaluator.epochs == 36 and evaluator.resumable
    for rule in (None, NeverStop(), StopAfter(36)):  # a full training is not stopped
        found = {result.arch: result for result in evaluator.results(["c", "a", "b"], rule)}
        assert [found[arch].curve for arch in "abc"] == [
            [(4, 10), (12, 15), (36, 20)],
            [(4, 20), (12, 25), (36, 40)],
            [(4, 30), (12, 35), (36, 38)],
        ]
        assert not any(result.stopped for result in found.values())
        assert [found[arch].value for arch in "abc"] == [20, 40, 38]
    stopped = list(evaluator.results(["a", "b", "c"], StopAfter(12, 20)))
    assert [(each.value, each.seconds, each.stopped, len(each.curve)) for each in stopped] == [
        (15, 120, True, 2),
        (40, 720, False, 3),
        (38, 36, False, 3),
    ]


def test_a_table_without_shorter_trainings_ignores_rules(course: str) -> None:
    for curve in (None, "d.valid.*"):
        evaluator = TableEvaluator(course, "toy", "d.valid.4", curve=curve)
        assert evaluator.epochs is None
        (result,) = evaluator.results(["a"], StopAfter(0))
        assert result == Result("a", 10.0, result.seconds)


def test_lengths_of_columns_of_any_name(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"arch": ["a"], "loss_1": 3.0, "loss_2.5": 2.0, "loss_4": np.nan, "loss_9": 1.0, "last": 1.0}
    )
    write_table(frame, tmp_path / "loss.parquet", TableMetadata("toy", unit="none"))

    def curve_of(observed: str, curve: Any) -> Curve:
        made = TableEvaluator(
            str(tmp_path / "loss.parquet"), "toy", observed, None, Objective("loss", "", "min"), curve
        )
        return next(made.results(["a"])).curve

    assert curve_of("loss_9", "loss_*") == [(1, 3), (2.5, 2), (9, 1)]
    assert curve_of("last", {1: "loss_1", 10: "last"}) == [(1, 3), (10, 1)]


@pytest.mark.parametrize(
    ("curve", "message"),
    [
        (["d.test.4"], r"table\.curve names d\.test\.4, but test accuracies are for the report only"),
        ("d.test.*", "test accuracies are for the report only"),
        ({4: "d.test.4"}, "test accuracies are for the report only"),
        ({4: "test_top1"}, "test values are for the report only"),
        (["d.train_seconds.36"], "holds no accuracy"),
        (["top1"], r"the name top1 tells no length; give lengths and columns.*=\{4: loss_4, 108: loss_108\}"),
        (
            ["d.valid.40"],
            r"d\.valid\.40, which is not shorter than the observed column d\.valid\.36, of 36 epochs",
        ),
        ({"four": "d.valid.4"}, "'four' is no length; give numbers above 0"),
        ({0: "d.valid.4"}, "0 is no length"),
        (["d.valid.5"], r"no column d\.valid\.5"),
    ],
)
def test_curves_that_make_no_sense_are_refused(course: str, curve: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TableEvaluator(course, "toy", "d.valid.36", curve=curve)


def test_values_on_the_way_are_checked_as_those_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "course.parquet"
    COURSE.rename(columns={"d.valid.4": "top4", "d.valid.36": "top36"}).assign(top4=[1, 2, 130.0]).to_parquet(
        path
    )
    with pytest.raises(UserError, match=r"top4 of .*row 2 holds 130, but accuracies are in percent"):
        TableEvaluator(str(path), "toy", "top36", curve="top*")


def test_every_table_of_the_configuration_has_a_curve_or_says_why_not() -> None:
    for file in (Path(conf_dir()) / "table").glob("*.yaml"):
        if file.stem not in ("none", "nds_amoeba", "nds_darts", "nds_enas", "nds_pnas"):  # as nds_nasnet
            lines = [line for line in file.read_text().splitlines() if line.startswith("curve: ")]
            assert len(lines) == 1 and (lines[0] != "curve: null"), file
