"""Weak labels of networks of many kinds, of functions and of frames."""

import json
import math
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from acenas.errors import UserError
from acenas.evaluation.labels import Source, counted_by_default, informative, weak_labels
from acenas.images import ImageTask
from acenas.images.digits import Digits
from acenas.spaces import Choices, NasBench201
from acenas.tables import BenchmarkTable, WeakLabels, find_table

ALL = ["params_m", "macs_m", "flops_m", "synflow", "naswot", "grad_norm"]


class Mlp(nn.Sequential):
    def __init__(self, width: int, depth: int, activation: str) -> None:
        layers: list[nn.Module] = [nn.Linear(6, width)]
        for _ in range(depth):
            layers += [
                nn.BatchNorm1d(width),
                getattr(nn, activation)(),
                nn.Dropout(0.5),
                nn.Linear(width, width),
            ]
        super().__init__(*layers, nn.Linear(width, 1))


class Transformer(nn.Module):
    """Of tokens, with positions that are no more than those of the example."""

    def __init__(self, width: int, heads: int, activation: str) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(50, width), nn.Embedding(12, width)
        self.layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, activation=activation, batch_first=True
        )
        self.head = nn.Linear(width, 50)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1]))
        return {"logits": self.head(self.layer(x, src_key_padding_mask=mask))}


class Lstm(nn.Module):
    """Of two inputs, the first with the batch in the second dimension, and a state that it makes itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm, self.other = nn.LSTM(3, width), nn.Linear(5, width)

    def forward(self, steps: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        state = torch.zeros(1, steps.shape[1], self.lstm.hidden_size)
        states, _ = self.lstm(steps, (state, state))
        return states, torch.relu(self.other(other)[0])


def conv1d(width: int, kernel: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(2, width, kernel), nn.GroupNorm(1, width), nn.LeakyReLU(), nn.Conv1d(width, 3, 1)
    )


def conv3d(width: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(1, width, 3), nn.InstanceNorm3d(width), nn.ReLU6(), nn.Flatten(), nn.LazyLinear(2)
    )


MLPS = {"width": [4, 8, 16], "depth": [1, 2], "activation": ["ReLU", "GELU"]}
SPACES = {
    "mlp": Choices({**MLPS, "activation": ["ReLU"]}, Mlp, example_input=(6,)),
    "tokens": Choices(
        {"width": [8, 16], "heads": [1, 2], "activation": ["relu"]},
        Transformer,
        example_input=torch.zeros(1, 12, dtype=torch.long),
    ),
    "masked": Choices(
        {"width": [8, 16], "heads": [1, 2], "activation": ["relu"]},
        Transformer,
        example_input={
            "tokens": torch.zeros(1, 12, dtype=torch.long),
            "mask": torch.zeros(1, 12, dtype=torch.bool),
        },
    ),
    "lstm": Choices({"width": [4, 8]}, Lstm, example_input=[torch.zeros(7, 1, 3), torch.zeros(1, 1, 5)]),
    "1d": Choices({"width": [4, 8], "kernel": [3, 5]}, conv1d, example_input=torch.zeros(1, 2, 20)),
    "3d": Choices({"width": [2, 4]}, conv3d, example_input=(1, 6, 6, 6)),
}


@pytest.mark.parametrize("kind", SPACES)
def test_costs_and_scores_of_networks_of_all_kinds(kind: str, tmp_path: Path) -> None:
    space = SPACES[kind]
    archs = space.enumerate()
    assert counted_by_default(space) == ["params_m", "macs_m"]
    labels = weak_labels(space, archs, ALL, tmp_path)
    assert labels.names == [*ALL[:3], *(f"weak.{name}" for name in ALL[3:])] and labels.archs == archs
    values = labels.frame()
    costs = space.costs(archs)
    assert values["params_m"].tolist() == [cost.params_m for cost in costs]
    assert values["macs_m"].tolist() == [cost.macs_m for cost in costs]
    assert np.isfinite(values.to_numpy()).all(), labels.provenance
    assert all(values[name].nunique() > 1 for name in values), values
    again = weak_labels(space, archs, ALL, tmp_path / "again")
    assert np.array_equal(again.frame(), values), "same seed, same labels"
    other = weak_labels(space, archs, "naswot", tmp_path / "other", seed=1)
    assert not np.array_equal(other.frame()["weak.naswot"], values["weak.naswot"])


def test_on_images_they_are_those_of_the_space_and_of_its_table(tmp_path: Path) -> None:
    space, images = NasBench201(16, cells_per_stage=1, stages=1, in_channels=1), ImageTask(Digits())
    table = BenchmarkTable.open(find_table("nb201_digits"))
    archs = table.archs[:4]
    assert counted_by_default(space) == [] and counted_by_default(space, images) == ["params_m", "macs_m"]
    names = ["digits.params_m", "digits.flops_m", "macs_m", "weak.synflow", "weak.naswot", "weak.grad_norm"]
    labels = weak_labels(space, archs, names, tmp_path, images=images, seed=1000)
    assert labels.names == names
    costs = space.costs(archs, 10, (1, 8, 8))
    expected = [[cost.params_m, cost.flops_m, cost.macs_m] for cost in costs]
    assert labels.values(archs)[:, :3].tolist() == expected
    measured = WeakLabels.from_table(table, names[3:]).values(archs)
    assert labels.values(archs)[:, 3:] == pytest.approx(measured, rel=1e-5)
    labels.save(tmp_path / "labels.parquet")
    loaded = WeakLabels.load(tmp_path / "labels.parquet")
    assert loaded.names == names and np.array_equal(loaded.values(archs), labels.values(archs))
    assert "64 training images" in loaded.provenance["weak.naswot"].images


def test_what_a_network_does_not_allow_is_missing_with_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = Choices(MLPS, Mlp, example_input=(6,))
    labels = weak_labels(space, space.enumerate(), ["params_m", "naswot"], tmp_path)
    values = labels.frame()
    has_relu = ["ReLU" in arch for arch in labels.archs]
    assert values["weak.naswot"].notna().tolist() == has_relu and values["params_m"].notna().all()
    reason = "missing for 6 of 12 architectures: naswot: the network has no ReLU"
    assert reason in labels.provenance["weak.naswot"].duration
    assert f"weak.naswot is {reason}" in " ".join(capsys.readouterr().out.split())


def crashes(width: int, depth: int, activation: str) -> nn.Module:
    if width == 16:
        raise RuntimeError("out of luck\nsecond line")
    return nn.Linear(5 if width == 8 else 6, depth)


def test_a_network_that_crashes_has_no_labels(tmp_path: Path) -> None:
    space = Choices(MLPS, crashes, example_input=(6,))
    labels = weak_labels(space, space.enumerate(), ["params_m", "grad_norm"], tmp_path)
    for name, column in labels.frame().items():
        assert column.notna().tolist() == ["width=4" in arch for arch in labels.archs], name
    rows = [
        json.loads(line)
        for path in tmp_path.glob("costs-*.jsonl")
        for line in path.read_text().splitlines()
        if line
    ]
    reasons = {arch: reason for arch, _, reason, _ in rows}
    assert {reason for arch, reason in reasons.items() if "width=16" in arch} == {"RuntimeError: out of luck"}
    assert all("do not read" in reason for arch, reason in reasons.items() if "width=8" in arch)
    assert counted_by_default(space) == ["params_m", "macs_m"]


def test_where_nothing_can_be_counted_there_is_nothing_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert counted_by_default(Choices(MLPS)) == []
    assert counted_by_default(Choices(MLPS, Mlp)) == [], "nothing says what the networks read"
    assert counted_by_default(Choices(MLPS, example_input=(6,))) == [], "there are no networks"
    assert capsys.readouterr().out == ""
    assert counted_by_default(Choices(MLPS, Mlp, example_input=(7,))) == []
    assert (
        "nothing can be counted on the networks of choices: the networks of this space do not read"
        in " ".join(capsys.readouterr().out.split())
    )


def by_width(width: int, **_: Any) -> float:
    return width if width < 16 else math.nan


def both(arch: str) -> dict[str, float]:
    return {"length": len(arch), "digits": sum(map(str.isdigit, arch))}


def test_functions_mappings_and_frames(tmp_path: Path) -> None:
    space = Choices(MLPS)
    archs = space.enumerate()
    frame = pd.DataFrame(
        [{**space.choices(arch), "my flops": float(i), "note": "x"} for i, arch in enumerate(archs[:5])]
    )
    sources: list[Source] = [
        by_width,
        both,
        {"mine": lambda arch: 1.0 * len(arch), "given": {archs[1]: 7}},
        frame,
    ]
    labels = weak_labels(space, archs, sources, tmp_path)
    assert set(labels.names) == {
        "weak.by_width",
        "weak.length",
        "weak.digits",
        "weak.mine",
        "weak.given",
        "weak.my.flops",
    }
    values = labels.frame()
    assert values["weak.by_width"].tolist() == [
        space.choices(arch)["width"] if "width=16" not in arch else pytest.approx(math.nan, nan_ok=True)
        for arch in archs
    ]
    assert values["weak.length"].tolist() == values["weak.mine"].tolist() == [len(arch) for arch in archs]
    assert values["weak.given"].dropna().to_dict() == {archs[1]: 7.0}
    assert values["weak.my.flops"].dropna().tolist() == [0, 1, 2, 3, 4]
    by_index = pd.DataFrame({"a": [1.0, 2.0]}, index=archs[:2])
    assert weak_labels(space, archs, by_index, tmp_path).archs == archs[:2]
    assert weak_labels(space, archs, "json.dumps", tmp_path).frame()["weak.dumps"].isna().all(), (
        "it tells no number"
    )


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ("weak.supernt", "there is no weak.supernt; choose from params_m, macs_m, flops_m, synflow"),
        (["params_m", "params_m"], "named twice: params_m"),
        ([both, both], "named twice: weak.both"),
        ([both, {"length": by_width}], "named twice: weak.length"),
        (
            pd.DataFrame({"cifar10.test.200": [1.0]}, index=["width=4,depth=1,activation=ReLU"]),
            "test accuracy",
        ),
        (pd.DataFrame({"a": [1.0]}, index=["width=5,depth=1,activation=ReLU"]), "not an architecture"),
    ],
)
def test_a_label_that_is_none_is_refused(sources: Any, message: str, tmp_path: Path) -> None:
    space = Choices(MLPS, Mlp, example_input=(6,))
    with pytest.raises(UserError, match=message):
        weak_labels(space, space.enumerate(), sources, tmp_path)


def test_a_cost_without_anything_to_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give the space an example_input, or choose images"):
        weak_labels(Choices(MLPS, Mlp), [], "params_m", tmp_path)


def test_of_a_large_space_a_sample_of_different_functions_is_labelled(tmp_path: Path) -> None:
    space = Choices(
        {"width": list(range(1, 101)), "unused": list(range(10))},
        canonical=lambda choices: {**choices, "unused": 0},
    )
    archs = space.enumerate()
    labels = weak_labels(space, archs, {"width": lambda width, **_: width}, tmp_path, limit=50)
    assert len(labels) == 50 == len(set(space.canonical_all(labels.archs)))
    assert weak_labels(space, archs, [len], tmp_path, limit=50).archs == labels.archs
    assert weak_labels(space, archs, [len], tmp_path, limit=50, seed=1).archs != labels.archs


def test_labels_that_say_nothing_are_left_out(tmp_path: Path) -> None:
    space = Choices(MLPS)
    labels = weak_labels(
        space, space.enumerate(), {"one": lambda arch: 1, "none": lambda arch: None, "len": len}, tmp_path
    )
    assert labels.names == ["weak.one", "weak.none", "weak.len"] and informative(labels).names == ["weak.len"]


def test_what_fails_everywhere_is_given_up_early(tmp_path: Path) -> None:
    calls = []

    def broken(width: int) -> float:
        calls.append(width)
        raise ValueError("no")

    space = Choices({"width": list(range(1000))})
    assert weak_labels(space, space.enumerate(), [broken], tmp_path).frame().isna().to_numpy().all()
    assert 50 <= len(set(calls)) < 200


def slow(width: int) -> float:
    time.sleep(0.02)
    return 2.0 * width


def _label(folder: Path) -> None:
    space = Choices({"width": list(range(200))})
    weak_labels(space, space.enumerate(), [slow], folder, jobs=1, progress=lambda done, total: None)


@pytest.mark.slow
def test_a_killed_computation_goes_on(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_label, args=(tmp_path,))
    process.start()
    file: list[Path] = []
    while not file or file[0].stat().st_size < 500:
        assert process.is_alive()
        time.sleep(0.01)
        file = list(tmp_path.glob("*.jsonl"))
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with file[0].open("a") as lines:
        lines.write('["width=1", {"weak.slow": 9')  # a line that was cut off
    before = len(file[0].read_text().splitlines())
    told = []
    space = Choices({"width": list(range(200))})
    labels = weak_labels(
        space,
        space.enumerate(),
        [slow],
        tmp_path,
        jobs=1,
        progress=lambda done, total: told.append((done, total)),
    )
    assert labels.frame()["weak.slow"].tolist() == [2.0 * width for width in range(200)]
    assert 1 < told[0][0] <= before + 1 and told[-1] == (200, 200)


@pytest.mark.slow
def test_long_work_is_done_in_parallel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acenas.evaluation.labels.PARALLEL_ABOVE", 0.0)
    space = SPACES["tokens"]
    names = ["params_m", "macs_m", "synflow", "naswot", "grad_norm"]
    labels = weak_labels(space, space.enumerate(), names, tmp_path / "many", jobs=2)
    alone = weak_labels(space, space.enumerate(), names, tmp_path / "alone", jobs=1)
    assert np.array_equal(labels.frame(), alone.frame())
