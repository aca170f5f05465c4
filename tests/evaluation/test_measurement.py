import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from acenas.errors import UserError
from acenas.evaluation.measurement import BenchmarkMeasurement
from acenas.images import Augmentation, Digits, ImageTask
from acenas.spaces import MobileNet, NasBench101, SearchSpace
from acenas.spaces.mobilenet.network import Skeleton, Stage
from acenas.spaces.nasbench201.space import NasBench201
from acenas.tables import BenchmarkTable
from acenas.training.recipe import Recipe
from acenas.training.side_by_side import train

RECIPE = Recipe(epochs=1, batch_size=256, learning_rate=0.3)
IMAGES = ImageTask(Digits(), Augmentation(padding=1, noise=0.8))
SPACE = NasBench201(channels=4, cells_per_stage=1, stages=1, in_channels=1)


def measurement(**changes: Any) -> BenchmarkMeasurement:
    return BenchmarkMeasurement(SPACE, IMAGES, RECIPE, **{"limit": 4, "jobs": 1, **changes})


def values(path: Path) -> pd.DataFrame:
    """All of a table but the time it took, which no seed repeats."""
    return pd.read_parquet(path).drop(columns="digits.train_seconds.1")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return measurement().run(tmp_path_factory.mktemp("whole"))


def test_the_table_holds_what_the_trainings_showed(measured: Path) -> None:
    table = pd.read_parquet(measured)
    archs = measurement().architectures()
    assert list(table["arch"]) == archs and len(archs) == 4
    valid = [list(a) for a in zip(*(table[f"digits.valid.1.s{seed}"] for seed in (0, 1)), strict=True)]
    test = [list(a) for a in zip(*(table[f"digits.test.1.s{seed}"] for seed in (0, 1)), strict=True)]
    for i, arch in enumerate(archs):
        again = train(lambda arch=arch: SPACE.build(arch, 10), RECIPE, IMAGES, [0, 1])  # type: ignore[misc]
        assert valid[i] == [a.valid for a in again] and test[i] == [a.test for a in again]
    assert list(table["digits.observed.1"]) == [pair[0] for pair in valid]
    assert list(table["digits.test.1"]) == pytest.approx([float(np.mean(pair)) for pair in test])
    assert table.notna().all(axis=None)
    assert {"weak.short", "weak.synflow", "weak.naswot", "weak.grad_norm"} <= set(table.columns)


def test_the_table_opens_as_a_benchmark_of_its_space(measured: Path) -> None:
    table = BenchmarkTable.open(measured, space="nasbench201")
    table.check()
    first = measurement().architectures()[0]
    assert table.lookup([first], "digits.observed.1")[0] == pd.read_parquet(measured)["digits.observed.1"][0]


class Letters(Digits):
    """The digits under another name."""

    name = "letters"


@pytest.mark.parametrize(
    "space",
    [
        NasBench101(
            channels=4, cells_per_stage=1, stages=1, in_channels=1
        ),  # joins channels: one after the other
        MobileNet(Skeleton([Stage(4, 2, 2)], 1, 4, 1, 4, 8, norm_momentum=0.1), (3, 5), (1, 2)),
    ],
    ids=lambda space: space.name,
)
def test_any_space_and_images_can_be_measured(space: SearchSpace, tmp_path: Path) -> None:
    images = ImageTask(Letters(), Augmentation(padding=1, noise=0.3))
    measure = BenchmarkMeasurement(space, images, RECIPE, limit=2, jobs=1, source="a test")
    path = measure.run(tmp_path)
    assert path.name == f"{space.name}_letters.parquet"
    table = BenchmarkTable.open(path, space=space.name)
    table.check()
    assert table.metadata.source == "a test" and table.archs == measure.architectures()
    assert all(space.canonical(arch) == arch for arch in table.archs)
    longer = BenchmarkMeasurement(space, images, RECIPE, limit=3)
    assert longer.architectures()[:2] == table.archs
    for arch in table.archs:
        for seed in (0, 1):
            (alone,) = train(lambda arch=arch: space.build(arch, 10), RECIPE, images, [seed])  # type: ignore[misc]
            for part, accuracy in zip(("valid", "test"), alone, strict=True):
                (found,) = table.lookup([arch], f"letters.{part}.1.s{seed}")
                assert found == pytest.approx(
                    accuracy, abs=2.0
                )  # rounding differs where they are trained together
    labels = [c for c in table.columns if c.startswith("weak.")]
    assert all(np.isfinite(table.column(name)).all() for name in labels) and len(labels) == 4


def test_a_space_that_cannot_be_listed_needs_a_limit() -> None:
    with pytest.raises(
        UserError, match=r"mobilenet is too large to measure all of it; set measurement\.limit"
    ):
        BenchmarkMeasurement(MobileNet(), IMAGES, RECIPE).architectures()


def test_canonical_architectures_are_measured_once_in_a_random_order() -> None:
    archs = measurement(limit=None).architectures()
    assert len(archs) == len(set(archs)) == 6466
    assert all(SPACE.canonical(arch) == arch for arch in archs[:50])
    assert archs[:4] == measurement().architectures() != measurement(order_seed=1).architectures()
    assert archs != sorted(archs)


def test_a_higher_limit_goes_on(measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measurement(limit=1).run(tmp_path)
    calls: list[str] = []
    original = BenchmarkMeasurement.measure_one

    def noted(self: BenchmarkMeasurement, arch: str) -> dict[str, Any]:
        calls.append(arch)
        return original(self, arch)

    monkeypatch.setattr(BenchmarkMeasurement, "measure_one", noted)
    pd.testing.assert_frame_equal(values(measurement().run(tmp_path)), values(measured))
    assert calls == measurement().architectures()[1:]
    measurement().run(tmp_path)
    assert len(calls) == 3  # nothing that is done is done again


SCRIPT = """
import sys
from acenas.evaluation.measurement import BenchmarkMeasurement
from acenas.images import Augmentation, Digits, ImageTask
from acenas.training.recipe import Recipe
from acenas.spaces.nasbench201.space import NasBench201
space = NasBench201(channels=4, cells_per_stage=1, stages=1, in_channels=1)
images = ImageTask(Digits(), Augmentation(padding=1, noise=0.8))
recipe = Recipe(epochs=1, batch_size=256, learning_rate=0.3)
BenchmarkMeasurement(space, images, recipe, limit=400, jobs=2).run(sys.argv[1])
"""


@pytest.mark.slow
def test_killed_with_all_its_processes_and_resumed_gives_the_same_table(
    measured: Path, tmp_path: Path
) -> None:
    lines = tmp_path / "architectures.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and (not lines.exists() or lines.read_bytes().count(b"\n") < 3):
            assert process.poll() is None
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = lines.read_bytes().count(b"\n")
    assert 3 <= done < 400
    pd.testing.assert_frame_equal(values(measurement().run(tmp_path)), values(measured))


def test_a_line_cut_off_by_a_kill_is_measured_again(measured: Path, tmp_path: Path) -> None:
    measurement(limit=2).run(tmp_path)
    with (tmp_path / "architectures.jsonl").open("a") as lines:
        lines.write('{"arch": "|nor_conv')
    pd.testing.assert_frame_equal(values(measurement().run(tmp_path)), values(measured))
    rows = [json.loads(line) for line in (tmp_path / "architectures.jsonl").read_text().splitlines()]
    assert len(rows) == 4


def test_another_recipe_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    measurement(limit=1).run(tmp_path)
    other = BenchmarkMeasurement(SPACE, ImageTask(Digits(seed=1)), RECIPE.over(2), limit=1, seeds=(0,))
    with pytest.raises(UserError, match="another images and recipe and seeds; choose another folder"):
        other.run(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": ()}, "seeds must be different"),
        ({"seeds": (1, 1)}, "seeds must be different"),
        ({"seeds": (0, 1000)}, "and from 1000"),
        ({"jobs": 0}, "jobs must be at least 1"),
        ({"limit": 0}, "limit must be at least 1"),
        ({"short_epochs": 0}, "short_epochs must be at least 1"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        measurement(**changes)


def test_an_empty_folder_has_no_table(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no measured architecture"):
        measurement().write_table(tmp_path)
