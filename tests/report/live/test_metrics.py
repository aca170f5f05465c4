import math
from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from acenas.evaluation.costs import CostModel
from acenas.ranking.fronts import Scale, hypervolume
from acenas.report.live.metrics import RankingMetrics
from acenas.search.costs import Costs
from tests.report.live.example import ARCHS, KNOWN, SCORES, round_result


def test_a_round_is_measured_against_the_whole_space() -> None:
    callback = RankingMetrics(ARCHS, KNOWN)
    callback.on_round_end(round_result(2))
    metrics = callback.rounds[2]
    assert metrics["search/round"] == 2
    assert metrics["search/trained"] == 4
    assert metrics["search/best_observed_accuracy"] == 91.0
    assert metrics["search/observed_regret"] == pytest.approx(94.0 - 91.0)
    assert metrics["search/top1_observed_accuracy"] == 93.0
    assert metrics["search/top3_observed_accuracy"] == 94.0
    q20 = np.quantile(KNOWN, 0.2)
    gain = 2 ** (np.clip((KNOWN - q20) / (KNOWN.max() - q20), 0, 1) * 20) - 1
    for k in (1, 3, 10, 30):
        assert metrics[f"search/ndcg@{k}"] == pytest.approx(ndcg_score([gain], [SCORES], k=k), rel=1e-6)


def test_pretraining_has_no_regret_and_its_own_names() -> None:
    callback = RankingMetrics(ARCHS, KNOWN)
    callback.on_round_end(round_result(0))
    assert {name.split("/")[0] for name in callback.rounds[0]} == {"pretrain"}
    assert "pretrain/kendall" in callback.rounds[0]
    assert "pretrain/regret" not in callback.rounds[0]


def test_known_architectures_may_come_in_another_order_and_be_fewer() -> None:
    whole, part = (
        RankingMetrics(ARCHS, KNOWN),
        RankingMetrics([*ARCHS[::-1], "other"], np.append(KNOWN[::-1], 50.0)),
    )
    whole.on_round_end(round_result(1))
    part.on_round_end(round_result(1))
    assert part.rounds[1] == whole.rounds[1]
    fewer = RankingMetrics(ARCHS[:3], np.array([60.0, math.nan, 70.0]))
    fewer.on_round_end(round_result(1))
    assert fewer.rounds[1]["search/kendall"] == 1.0  # arch0 and arch2 alone


def test_without_known_accuracies_only_what_was_trained_is_told() -> None:
    callback = RankingMetrics([], np.empty(0))
    callback.on_round_end(round_result(1))
    assert callback.rounds[1] == {
        "search/round": 1,
        "search/trained": 2,
        "search/best_observed_accuracy": 90.0,
    }


class Sizes(CostModel):
    name, origin = "size", "made up"

    def values(self, archs: Sequence[str]) -> np.ndarray:
        return np.array([float(ARCHS.index(arch)) for arch in archs])


def test_the_hypervolume_is_of_what_was_trained_on_the_scale_of_what_is_known() -> None:
    costs = Costs({}, [Sizes()], ["size"])
    whole, alone = RankingMetrics(ARCHS, KNOWN, costs=costs), RankingMetrics([], np.empty(0), costs=costs)
    result = round_result(2)
    for callback in (whole, alone):
        callback.on_round_end(result)
    worked = result.observations.dropna(subset=["observed_accuracy"])
    trained = np.column_stack([-worked["observed_accuracy"], Sizes().values(worked["arch"].tolist())])
    known = np.column_stack([-KNOWN, np.arange(len(ARCHS))])
    found = whole.rounds[2]
    assert found["search/hypervolume"] == pytest.approx(hypervolume(trained, Scale.of(known)))
    share = hypervolume(trained, Scale.of(known)) / hypervolume(known, Scale.of(known))
    assert found["search/hypervolume_share"] == pytest.approx(share) and share < 1
    assert alone.rounds[2]["search/hypervolume"] == pytest.approx(hypervolume(trained, Scale.of(trained)))
    assert "search/hypervolume_share" not in alone.rounds[2]
    whole.on_round_end(round_result(0))
    assert not any("hypervolume" in name for name in whole.rounds[0])
