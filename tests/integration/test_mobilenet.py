"""The experiments of the mobile space, as a user starts them."""

import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from acenas.spaces import MobileNet
from acenas.tables import BenchmarkTable
from acenas.tables.command import main as tables
from tests.integration.conftest import Command, run_folders, summary
from tests.tables.stand_ins import write_tunas_csv

SPACE = MobileNet()


@pytest.mark.slow
def test_the_published_trainings_are_imported_and_ranked(acenas: Command, tmp_path: Path) -> None:
    archs = SPACE.sample(60, torch.Generator().manual_seed(0))
    write_tunas_csv(tmp_path / "search.csv", archs)
    columns = {
        "indices": "arch",
        "90epoch_validation_accuracy": "imagenet.valid.90",
        "simulated_pixel1_time_ms": "imagenet.latency_ms.pixel1",
    }
    renamed = [part for old, new in columns.items() for part in ("--column", f"{old}={new}")]
    out = tmp_path / "tunas.parquet"
    command = ["import", "csv", str(tmp_path / "search.csv"), "--out", str(out), "--space", "mobilenet"]
    assert tables([*command, "--unit", "fraction", *renamed]) == 0
    table = BenchmarkTable.open(out, space="mobilenet")
    assert table.archs == archs and 73 <= table.column("imagenet.valid.90").min() < 76
    done = acenas(
        "experiment=mobilenet_ltr",
        f"data_dir={tmp_path}",
        "search.budget=6",
        "ranker.finetuning.passes=10",
        "search.constraints={latency_ms.pixel1: 84.755}",
        "logger.mode=disabled",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    found = summary(run_folders(tmp_path / "outputs")[0])
    assert found["trained"] == 6
    assert found["constraints"]["returned"]["latency_ms.pixel1"] <= 84.755


@pytest.mark.slow
def test_the_live_run_returns_and_exports_a_network_within_its_limit(acenas: Command, tmp_path: Path) -> None:
    """One command, fifteen minutes on two cores at most: 300 weak labels, 24 networks trained, the best exported."""
    start = time.monotonic()
    done = acenas("experiment=mobilenet_tiny", cwd=tmp_path, timeout=900)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - start < 900
    (folder,) = run_folders(tmp_path / "outputs")
    found = summary(folder)
    trained = pd.read_parquet(folder / "observations.parquet")
    labels = pd.read_parquet(folder / "weak_labels.parquet")
    assert found["trained"] == len(trained) == 24 and len(labels) == 300
    limit = found["constraints"]["limits"]["flops_m"]
    assert labels["digits.flops_m"].max() <= limit
    assert found["constraints"]["returned"]["flops_m"] <= limit
    assert all(row["flops_m"] <= limit for row in found["constraints"]["pareto_front"])
    first = trained[trained["round"] == 1]["observed_accuracy"].mean()
    assert found["returned"]["observed_accuracy"] > first
    assert {path.suffix for path in (folder / "export").iterdir()} >= {".pt", ".md"}
