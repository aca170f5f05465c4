"""A study of one's own with its report, and the loop around it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import acenas
from acenas.errors import UserError
from acenas.evaluation import Evaluator, Observations
from acenas.run.commands.status import look_at
from acenas.run.commands.status import main as status
from acenas.run.folder import only_process
from acenas.search import BudgetedSearch, Halving
from acenas.tables import find_table
from tests.search.test_repeats import OWN as NOISY
from tests.search.test_repeats import noise, quality
from tests.search.test_rounds import LeastSquares
from tests.search.test_study import OWN, size


def searched(folder: Path, train: object, budget: int = 6, **more: object) -> acenas.Study:
    more = {"ranker": LeastSquares(OWN.num_node_types), "weak_labels": [], "objective": "min loss"} | more
    return acenas.search(OWN, train, budget, folder, **more)  # type: ignore[call-overload, no-any-return]


def loss(**choices: object) -> float:
    return 10 - size(**choices) / 100  # type: ignore[arg-type]


def test_a_function_is_trained_shown_and_raised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    called = []

    def train(width: int, **layers: str) -> float:
        called.append(width)
        if len(called) == 2:
            raise ValueError("out of memory")
        return float("nan") if len(called) == 5 else loss(width=width, **layers)

    study = searched(tmp_path, train)
    assert len(called) == 6 and study.returned is not None
    assert study.returned.value == loss(**study.returned.choices)
    failed = study.observations.query("state == 'failed'")
    assert failed["message"].tolist() == ["ValueError: out of memory", "loss is nan"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("1 of 6: loss ") and lines[1].startswith(
        "2 of 6: ValueError: out of memory, best"
    )
    assert (
        repr(searched(tmp_path, train)) == f"Study(choices, 6 of 6 trained, '{tmp_path}')"
        and len(called) == 6
    )
    searched(tmp_path, train, budget=8)
    assert len(called) == 8


def test_a_generator_function_is_closed_where_the_study_stops_it(tmp_path: Path) -> None:
    epochs: dict[str, int] = {}

    def train(arch: str) -> Iterator[float]:
        for epoch in range(1, 10):
            epochs[arch] = epoch
            yield loss(**OWN.choices(arch)) + 1 / epoch

    search = BudgetedSearch(12, per_round=1, growth=0, stopping=Halving())
    told = searched(tmp_path, train, 12, epochs=9, search=search, budget_epochs=99).observations
    lengths = dict(zip(told["arch"], told["epochs"], strict=True))
    assert epochs == lengths and {1, 9} <= set(epochs.values())
    assert (told["state"] == "stopped").tolist() == (told["epochs"] < 9).tolist()

    def plain(**choices: object) -> float:
        return loss(**choices)

    told = searched(tmp_path / "plain", plain, 4, epochs=9, budget_epochs=36).observations
    assert told["epochs"].tolist() == [9] * 4 and (told["state"] == "trained").all()


def test_a_function_trains_again_what_is_good_and_noisy(tmp_path: Path) -> None:
    def train(arch: str, repeat: int) -> float:
        return quality(arch) + noise(arch, repeat, 3.0)

    def searched(name: str, train: object) -> acenas.Study:
        ranker, rounds = LeastSquares(NOISY.num_node_types), BudgetedSearch(30, repeats=3)
        more = {"ranker": ranker, "search": rounds, "weak_labels": []}
        return acenas.search(NOISY, train, 30, tmp_path / name, **more)  # type: ignore[call-overload, no-any-return]

    done = searched("lab", train)
    told = done.observations
    assert told["repeat"].max() > 0
    for row in told.to_dict("records"):
        assert row["observed_accuracy"] == train(row["arch"], row["repeat"])
    summary = done.report().summary
    assert summary["trained"] == 30 and summary["repeated"] == int((told["repeat"] > 0).sum())
    means = told.groupby("arch")["observed_accuracy"].mean()
    assert summary["returned"]["observed_accuracy"] == pytest.approx(means[summary["returned"]["arch"]])
    frame = pd.DataFrame({"arch": NOISY.enumerate(), "accuracy": 80.0})
    with pytest.raises(UserError, match=r"search\.repeats=3, but the table has 1 training\(s\) of each"):
        searched("table", frame)


def test_a_function_that_ends_the_program_has_failed(tmp_path: Path) -> None:
    called = []

    def train(**choices: object) -> float:
        called.append(choices)
        return sys.exit("no GPU \x00 here") if len(called) == 2 else 1.0

    study = searched(tmp_path, train)
    assert study.observations["message"].tolist() == ["", r"SystemExit: no GPU \x00 here", "", "", "", ""]


def test_what_a_function_may_not_do_is_one_sentence(tmp_path: Path) -> None:
    for train, match in (
        (lambda width: 1.0, "does not take the choices layer0, .*take them by name"),
        (
            lambda **choices: None,
            "4 of the last 4 trainings failed.* what the function returns must be a number, not None",
        ),
        (pd.DataFrame({"arch": OWN.enumerate()[:6], "loss": "fast"}), "loss must be a number, not 'fast'"),
    ):
        with pytest.raises(acenas.UserError, match=match):
            searched(tmp_path / match[:3], train)
    for arguments, match in (
        (("nb201", loss), "train is for a space of one's own, not for nb201"),
        ((OWN, loss, 3, None, 0), "table and overrides are for the name of a space"),
    ):
        with pytest.raises(acenas.UserError, match=match):
            acenas.search(*arguments, overrides=["seed=1"])


def test_an_interrupted_search_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    called = []

    def train(**choices: object) -> float:
        called.append(choices)
        if len(called) == 3:
            raise KeyboardInterrupt
        return loss(**choices)

    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path, train)
    assert "Interrupted: the same call goes on where it was." in capsys.readouterr().out
    done = searched(tmp_path, train).observations
    assert called[2] == called[3] and len(called) == 7
    pd.testing.assert_frame_equal(
        done.drop(columns="seconds"), searched(tmp_path / "whole", loss).observations.drop(columns="seconds")
    )


def test_a_frame_and_an_evaluator_tell_as_a_function_does(tmp_path: Path) -> None:
    class Trains(Evaluator):
        def evaluate(self, archs: list[str]) -> Observations:  # type: ignore[override]
            values = np.array([loss(**OWN.choices(arch)) for arch in archs])
            return Observations(archs, values, np.full(len(archs), 60.0))

    frame = pd.DataFrame([OWN.choices(arch) for arch in OWN.enumerate()])
    frame["loss"] = [loss(**OWN.choices(arch)) for arch in OWN.enumerate()]
    trained = [searched(tmp_path / str(i), by).observations for i, by in enumerate([loss, frame, Trains()])]
    for other in trained[1:]:
        pd.testing.assert_frame_equal(trained[0].drop(columns="seconds"), other.drop(columns="seconds"))
    with pytest.raises(acenas.UserError, match="no column loss"):
        searched(tmp_path / "a", frame.rename(columns={"loss": "other"}))
    with pytest.raises(acenas.UserError, match="give a function"):
        searched(tmp_path / "b", 3)


def test_a_benchmark_table_is_a_training(tmp_path: Path) -> None:
    table = acenas.BenchmarkTable.open(find_table("nb201_digits"))
    study = acenas.search(
        acenas.NasBench201(), table, 4, tmp_path, weak_labels=[], ranker=LeastSquares(), stop_on_failure=True
    )
    column = "digits.observed.10"
    trained = study.observations
    assert table.lookup(trained["arch"].tolist(), column).tolist() == trained["observed_accuracy"].tolist()


def test_the_report_is_in_the_folder_and_in_the_notebook(tmp_path: Path) -> None:
    study = acenas.Study(
        OWN, 9, tmp_path, ranker=LeastSquares(OWN.num_node_types), weak_labels=[], objective="min loss nats"
    )
    with pytest.raises(acenas.UserError, match="nothing to report yet"):
        study.report()
    for trial in study.ask():
        study.tell(trial, loss(**trial.choices))
    study.give(pd.DataFrame({"arch": OWN.enumerate()[:1], "loss": [9.9]}))
    waiting = study.ask()  # of the second round, which is not complete
    report = study.report()
    assert look_at(tmp_path).state == "paused" and not (tmp_path / "summary.json").exists()
    page = (tmp_path / "report.html").read_text()
    assert report.returned in page and "nats" in page
    assert report.observed_value == study.observations["observed_loss"].min() and report.test_value is None
    assert len(report.observations) == 4 and report.summary["given"] == 1
    for shown in (report._repr_html_(), study._repr_html_()):
        assert report.returned in shown
    report.plot(), report.draw(), str(report)
    assert study.pending == waiting, "a report takes nothing back"
    study.fail(waiting[0], "diverged")
    assert "1 of them failed" in study._repr_html_()


def status_of(root: Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert status([str(root)]) == 0
    return " ".join(capsys.readouterr().out.splitlines()[1].split())


def test_the_status_says_how_far_a_study_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def opened(budget: int) -> acenas.Study:
        ranker = LeastSquares(OWN.num_node_types)
        return acenas.Study(
            OWN, budget, tmp_path / "lab", ranker=ranker, weak_labels=[], objective="min loss"
        )

    study = opened(5)
    study.give(pd.DataFrame({"arch": OWN.enumerate()[:2], "loss": [9.5, 9.9]}))
    first, second, third, fourth = study.ask()
    study.tell(first, 9.25)
    study.fail(second)
    assert status_of(tmp_path, capsys) == "lab paused 2/5, 1 failed, 2 given, 2 pending loss 9.25"
    with only_process(tmp_path / "lab"):
        assert status_of(tmp_path, capsys).startswith("lab running")
    study.tell(third, 9.0)
    study.tell(fourth, 9.5)
    study.tell(study.ask()[0], 9.125)
    assert status_of(tmp_path, capsys) == "lab done 5/5, 1 failed, 2 given loss 9"
    done = study.report()
    assert "5 architectures trained (1 failed), 2 given, in" in str(done)
    assert f"Of the given, {OWN.enumerate()[0]} has 9.5" in str(done), "it is no training of the study"
    assert status_of(tmp_path, capsys) == "lab done 5/5, 1 failed, 2 given loss 9"
    opened(7).ask()
    assert status_of(tmp_path, capsys) == "lab paused 5/7, 1 failed, 2 given, 2 pending loss 9"


def test_limits_are_in_the_report(tmp_path: Path) -> None:
    space = acenas.Choices(
        {"width": [8, 16, 32], "depth": [1, 2, 3]},
        build=lambda width, depth: nn.Sequential(
            nn.Linear(8, width), *[nn.Linear(width, width)] * (depth - 1)
        ),
        example_input=torch.zeros(1, 8),
    )
    study = acenas.search(
        space, lambda width, depth: width + depth, 3, tmp_path, weak_labels=[], constraints={"params_m": 0.001},
        ranker=LeastSquares(space.num_node_types),
    )  # fmt: skip
    report = study.report()
    assert report.summary["constraints"]["returned"]["params_m"] <= 0.001
    assert study.front("params_m")["params_m"].max() <= 0.001
    study = acenas.Study(space, folder=tmp_path, ranker=LeastSquares(space.num_node_types), weak_labels=[])
    assert study.costs.at_most == {"params_m": 0.001}


def test_a_function_tells_costs_of_its_trainings(tmp_path: Path) -> None:
    def train(width: int, **layers: str) -> dict[str, float]:
        value = size(width, **layers)
        return {"accuracy": value, "energy": 2.0 * value}

    study = acenas.search(
        OWN, train, 6, tmp_path, weak_labels=[], front=["energy"], ranker=LeastSquares(OWN.num_node_types)
    )
    assert (study.observations["energy"] == 2 * study.observations["observed_accuracy"]).all()
    assert study.front()["energy"].notna().all()
    with pytest.raises(acenas.UserError, match="the front needs joules of each training"):
        acenas.search(
            OWN, train, 6, tmp_path / "other", weak_labels=[], front=["joules"],
            ranker=LeastSquares(OWN.num_node_types),
        )  # fmt: skip
