from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf

from acenas.errors import UserError
from acenas.evaluation.costs import CountedCosts, LatencyPredictor, TableCosts
from acenas.evaluation.costs.measure import SPREAD, Stopwatch, measure_latencies
from acenas.run.config import flat_constraints
from acenas.spaces import MobileNet, NasBench201
from acenas.spaces.cost import count_cost
from acenas.spaces.mobilenet.network import Skeleton, Stage
from acenas.tables import BenchmarkTable, TableMetadata, find_table, write_table

SPACE = MobileNet(
    Skeleton(
        (Stage(4, 3, 1), Stage(6, 3, 2)), in_channels=1, stem_channels=4, first_channels=4, head_channels=8
    )
)


def draw(count: int, seed: int = 0) -> list[str]:
    sample = SPACE.sample(4 * count, torch.Generator().manual_seed(seed))
    return list(dict.fromkeys(SPACE.canonical_all(sample)))[:count]


def additive_latency(arch: str) -> float:
    """A machine that takes longer for larger kernels and expansions, and longest for the first stage."""
    stages = [[n for n in stage.split(",") if n != "skip"] for stage in arch.split(":")]
    return 1 + sum((0.1 * int(n[1]) + 0.05 * int(n[3])) / (i + 1) for i, s in enumerate(stages) for n in s)


def test_counted_costs_are_those_of_the_network() -> None:
    archs = draw(3)
    for name in ("params_m", "macs_m", "flops_m"):
        expected = [getattr(count_cost(SPACE.build(a, 5), (1, 8, 8)), name) for a in archs]
        np.testing.assert_allclose(CountedCosts(SPACE, 5, (1, 8, 8), name).values(archs), expected)


def test_table_costs_are_those_of_the_table() -> None:
    table = BenchmarkTable.open(find_table("nb201_digits"))
    archs = table.archs[5:8]
    costs = TableCosts(table, "digits.params_m", "params_m")
    np.testing.assert_array_equal(costs.values(archs), table.lookup(archs, "digits.params_m"))
    assert "digits.params_m of the table nb201_digits" in costs.origin
    assert np.isnan(costs.values(["|none~0|"])).all() and costs.values([]).shape == (0,)


def test_a_predictor_learns_an_additive_latency_and_reports_an_honest_error() -> None:
    archs, others = draw(150), draw(100, seed=1)
    noise = np.random.default_rng(0).normal(0, 0.05, 150)
    measured = np.array([additive_latency(a) for a in archs]) + noise
    predictor = LatencyPredictor(SPACE, archs, measured, "latency_ms.cpu")
    np.testing.assert_array_equal(predictor.values(archs), measured)
    unseen = [a for a in others if a not in set(archs)]
    gap = np.abs(predictor.values(unseen) - [additive_latency(a) for a in unseen])
    # The error on measured architectures has the noise in it, of which the mean absolute value is 0.04.
    assert 0.04 < predictor.error.milliseconds < 0.08 and gap.mean() < 0.08
    assert predictor.error.samples == 150 and predictor.error.kendall > 0.9
    assert "cross-validated on 150 measured architectures" in predictor.origin


def test_a_predictor_of_noise_says_that_it_predicts_nothing() -> None:
    archs = draw(100)
    measured = np.random.default_rng(0).uniform(1, 2, 100)
    assert abs(LatencyPredictor(SPACE, archs, measured, "latency_ms.cpu").error.kendall) < 0.25


def test_the_measured_latencies_of_a_real_space_can_be_predicted(tmp_path: Path) -> None:
    """FLOPs of NAS-Bench-201 cells stand for a latency: they are exact, and a sum over operations."""
    space, table = NasBench201(), BenchmarkTable.open(find_table("nb201_digits"))
    archs, flops = table.archs, table.column("digits.flops_m")
    frame = pd.DataFrame({"arch": archs[::8], "digits.latency_ms.dev": flops[::8]})
    write_table(frame, tmp_path / "some.parquet", TableMetadata(space="nasbench201"))
    predictor = LatencyPredictor.from_file(tmp_path / "some.parquet", space, "latency_ms.dev")
    assert predictor.error.kendall > 0.9
    with pytest.raises(
        UserError, match=r"0 columns end in latency_ms.other, .* it has digits.latency_ms.dev"
    ):
        LatencyPredictor.from_file(tmp_path / "some.parquet", space, "latency_ms.other")
    with pytest.raises(UserError, match="3 different architectures were measured, and a predictor needs 20"):
        LatencyPredictor(space, archs[:3], flops[:3], "latency_ms.dev")


def test_measuring_goes_on_where_it_was_and_never_mixes_two_ways(tmp_path: Path) -> None:
    archs, out = draw(3), tmp_path / "latency.parquet"
    quick = Stopwatch(warmup=1, repeats=3)

    def measure(which: list[str], stopwatch: Stopwatch = quick) -> list[tuple[str, float, float]]:
        column = "digits.latency_ms.cpu"
        return list(measure_latencies(SPACE, which, stopwatch, (1, 8, 8), 5, column, out))

    first = measure(archs[:2])
    assert [arch for arch, _, _ in first] == archs[:2] and all(ms > 0 and iqr >= 0 for _, ms, iqr in first)
    assert [arch for arch, _, _ in measure(archs)] == archs[2:]
    table = BenchmarkTable.open(out, space="mobilenet")
    assert table.columns == ["digits.latency_ms.cpu", SPREAD] and table.archs == archs
    assert table.column("digits.latency_ms.cpu")[:2].tolist() == [ms for _, ms, _ in first]
    with pytest.raises(UserError, match="was measured in another way"):
        measure(archs, Stopwatch(warmup=1, repeats=4))


def test_a_stopwatch_counts_the_passes_after_the_warm_up() -> None:
    passes = []

    class Watched(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            passes.append(tuple(x.shape))
            return x

    assert len(Stopwatch(warmup=2, repeats=3, batch_size=4).times(Watched(), (3, 5, 5))) == 3
    assert passes == [(4, 3, 5, 5)] * 5
    with pytest.raises(UserError, match="device=cuda:99 cannot be used"):
        Stopwatch(device="cuda:99")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"params_m": 1, "latency_ms.pixel3": 15.5}, {"params_m": 1.0, "latency_ms.pixel3": 15.5}),
        ({"latency_ms": {"pixel3": 15}}, {"latency_ms.pixel3": 15.0}),
    ],
)
def test_constraints_are_read_from_the_config(given: Any, expected: dict[str, float]) -> None:
    assert flat_constraints(OmegaConf.create(given)) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"params_m": "1"}, "params_m must be a number above 0, not 1"),
        ({"params_m": 0}, "params_m must be a number above 0, not 0"),
        (["params_m"], "is not a mapping"),
    ],
)
def test_wrong_constraints_are_named(given: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        flat_constraints(OmegaConf.create(given))
