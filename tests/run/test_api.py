"""A search from Python is that of the command."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra.core.global_hydra import GlobalHydra
from matplotlib.figure import Figure

import acenas
from acenas.run import pipeline
from acenas.run.command_line import checked_config
from acenas.run.config import other_run
from acenas.run.folder import only_process
from tests.integration.conftest import result, run_folders
from tests.shortcuts import acenas_here

SMALL = ["ranker.pretraining.epochs=1", "ranker.finetuning.passes=5", "logger.mode=disabled"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture(scope="module")
def run(root: Path) -> acenas.SearchRun:
    return acenas.search("nb201", table="nb201_digits", budget=12, seed=3, folder=root, overrides=SMALL)


def test_the_result_is_that_of_the_command(run: acenas.SearchRun, tmp_path: Path) -> None:
    given = ["experiment=nb201_ltr", "table=nb201_digits", "search.budget=12", "seed=3", *SMALL]
    done = acenas_here(*given, cwd=tmp_path, data=True)  # a part of the configuration
    assert done.returncode == 0, done.stderr
    (folder,) = run_folders(tmp_path / "outputs")
    assert run.folder.relative_to(run.folder.parents[1]) == folder.relative_to(folder.parents[1])
    for file in ("observations.parquet", "scores.parquet"):
        pd.testing.assert_frame_equal(pd.read_parquet(run.folder / file), pd.read_parquet(folder / file))
    assert result(run.folder) == result(folder)


def test_it_is_opened_where_it_is_done(
    run: acenas.SearchRun, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "run", None)
    again = acenas.search("nb201", table="nb201_digits", budget=12, seed=3, folder=root, overrides=SMALL)
    assert again == run
    assert not GlobalHydra.instance().is_initialized()


def test_the_run_is_known_by_its_configuration_in_a_folder_of_any_name(
    run: acenas.SearchRun, tmp_path: Path
) -> None:
    given = ["experiment=nb201_ltr", "table=nb201_digits", "search.budget=12", *SMALL]
    shutil.copy(run.folder / "config.yaml", tmp_path)
    assert other_run(checked_config([*given, "seed=3"]), tmp_path) == ""
    assert "(seed: 3, not 4" in other_run(checked_config([*given, "seed=4"]), tmp_path)


def test_what_came_out(run: acenas.SearchRun) -> None:
    summary = json.loads((run.folder / "summary.json").read_text())
    assert run.returned == summary["returned"]["arch"]
    assert run.test_accuracy == summary["returned"]["test_accuracy"]
    assert run.observed_accuracy == summary["returned"]["observed_accuracy"]
    ranking = run.ranking()
    assert list(ranking) == ["arch", "score", "observed_accuracy"]
    assert (np.diff(ranking["score"]) <= 0).all() and ranking["arch"].is_unique
    seen = ranking.dropna().set_index("arch")["observed_accuracy"]
    assert seen.to_dict() == run.observations.set_index("arch")["observed_accuracy"].to_dict()
    assert isinstance(run.plot(), Figure) and isinstance(run.draw(), Figure)
    with pytest.raises(acenas.UserError):
        run.draw("no architecture")
    assert str(run).startswith("nb201_ltr, search.budget=12, ")
    assert " on nb201_digits digits, seed 3: 12 architectures trained" in str(run)
    assert f"{run.test_accuracy:.2f} % (never seen by the search)" in run._repr_html_()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"space": "nowhere"}, "there is no experiment=nowhere_ltr"),
        ({"budget": 0}, "search.budget=0 must be larger than"),
        ({"table": "nowhere"}, "nowhere"),
        ({"overrides": ["search.bugdet=3"]}, "search.bugdet"),
        ({"overrides": ["loss.scale=much"]}, "loss.scale=much is not a number"),
        (
            {
                "overrides": [
                    "table=own",
                    "table.path=nb201_digits",
                    "table.test=a",
                    "table.space=nasbench201",
                ]
            },
            "table.observed has no value",
        ),
        ({"overrides": ["ranker.dropout=2"]}, "ranker.dropout=2 must lie between 0 and 1"),
        ({"overrides": ["loss=("]}, "there is no loss=\\("),
    ],
)
def test_a_mistake_is_an_error_that_leaves_nothing(
    arguments: dict[str, object], message: str, tmp_path: Path
) -> None:
    given = {"folder": tmp_path, **arguments}
    given["overrides"] = [*given.get("overrides", []), "logger.mode=disabled"]  # type: ignore[misc]
    with pytest.raises(acenas.UserError, match=message):
        acenas.search(**given)  # type: ignore[call-overload]
    assert not GlobalHydra.instance().is_initialized()
    assert not list(tmp_path.glob("*/*"))


def test_a_folder_of_own_configs_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACENAS_CONF", str(tmp_path / "nowhere"))
    with pytest.raises(acenas.UserError, match=r"ACENAS_CONF=.*nowhere: there is no such folder"):
        acenas.search(folder=tmp_path)


def test_a_run_that_another_process_makes_is_left_alone(run: acenas.SearchRun, root: Path) -> None:
    with only_process(run.folder), pytest.raises(acenas.UserError, match="another process"):
        acenas.search("nb201", table="nb201_digits", budget=12, seed=3, folder=root, overrides=SMALL)
    assert run.folder.exists()


def test_an_interrupt_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        acenas.search(budget=5, folder=tmp_path)
