"""What an earlier search found, as a weak label."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, rankdata

from acenas.errors import UserError
from acenas.ranker import GraphRanker
from acenas.search import BudgetedSearch, Study
from acenas.search.earlier import earlier_ranking
from acenas.spaces import Choices, NasBench201
from tests.search.test_rounds import LeastSquares

OWN = Choices({"width": [1, 2, 3, 4], "depth": [1, 2, 3], "kind": ["a", "b"]})


def study(folder: Path, budget: int = 8, **more: object) -> Study:
    return Study(OWN, budget, folder, objective="min loss", **more)  # type: ignore[arg-type]


def finish(opened: Study) -> Study:
    while trials := opened.ask():
        for trial in trials:
            opened.tell(trial, 10.0 - trial.choices["width"] - trial.number / 100)
    return opened


def test_the_last_scores_are_a_label(tmp_path: Path) -> None:
    done = finish(study(tmp_path / "run 1", ranker=LeastSquares(OWN.num_node_types), pretrained=False))
    labels = earlier_ranking(tmp_path / "run 1", OWN)
    assert labels.names == ["weak.from_run_1"] and labels.space == OWN.name
    scores = done.state.last_scores
    expected = norm.ppf((rankdata(scores) - 0.5) / len(scores))
    np.testing.assert_allclose(labels.values(done.state.archs)[:, 0], expected)
    assert "8 trainings of an earlier search" in labels.provenance["weak.from_run_1"].duration


def test_without_a_ranker_it_is_what_was_observed(tmp_path: Path) -> None:
    random = BudgetedSearch(8, 8)
    done = study(tmp_path / "lab", ranker=LeastSquares(OWN.num_node_types), pretrained=False, search=random)
    trials = done.ask()
    done.fail(trials[0], "it burns")
    for trial in trials[1:]:
        done.tell(trial, float(trial.number))
    (tmp_path / "lab" / "scores.parquet").write_bytes(b"")
    pd.DataFrame({"arch": done.state.archs}).to_parquet(tmp_path / "lab" / "scores.parquet")
    labels = earlier_ranking(tmp_path / "lab", OWN)
    values = labels.values([trial.arch for trial in trials])[:, 0]
    assert np.isnan(values[0]) and (np.diff(values[1:]) < 0).all(), "the loss grows, the label falls"
    assert len(labels) == 8


def test_a_study_learns_from_folders_beside_other_labels(tmp_path: Path) -> None:
    finish(study(tmp_path / "lab", ranker=LeastSquares(OWN.num_node_types), pretrained=False))

    def width(width: int, depth: int, kind: str) -> float:
        return float(width)

    ranker = GraphRanker(OWN)
    opened = study(tmp_path / "next", weak_labels=[width, tmp_path / "lab"], ranker=ranker)
    trials = opened.ask()
    known = opened.fitting.known_labels
    assert known is not None and known.names == ["weak.from_lab", "weak.width"]
    assert trials[0].reason == "random among the best"
    alone = study(tmp_path / "alone", weak_labels=tmp_path / "lab", ranker=GraphRanker(OWN))
    assert alone.ask()[0].reason == "random among the best"


def test_what_holds_no_earlier_search_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere holds no search"):
        earlier_ranking(tmp_path / "nowhere", OWN)
    study(tmp_path / "new", ranker=LeastSquares(OWN.num_node_types), pretrained=False)
    with pytest.raises(UserError, match="new has no training yet"):
        earlier_ranking(tmp_path / "new", OWN)
    with pytest.raises(UserError, match=r"new searched the space \S+, not nasbench201"):
        earlier_ranking(tmp_path / "new", NasBench201())
