"""experiment=graphs_ltr as a user runs it, on a file in the format of AceNAS' authors."""

import json
import random
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from acenas.run.config import check_config, conf_dir
from acenas.run.pipeline import run
from acenas.tables.command import main
from tests.integration.conftest import summary


@pytest.mark.slow
def test_a_file_of_graphs_is_imported_and_searched(tmp_path: Path) -> None:
    rng = random.Random(0)
    known, weak = [], []
    for _ in range(60):
        tags = [rng.randrange(2, 6), rng.randrange(2, 6)]
        cells = [{"graph": {"0": [1, 2], "1": [2], "2": []}, "node_tags": [0, tag, 1]} for tag in tags]
        shape, size = [16.0, float(rng.choice([8, 20]))], sum(tags)
        good = 0.5 + size / 50 + shape[1] / 100
        known.append({"graphs": cells, "hparams": shape, "metrics": {"accuracy": good}})
        weak.append(
            {"graphs": cells, "hparams": shape, "metrics": {"top1": good, "params": size, "flops": size}}
        )
    for name, content in (("gt.json", known), ("weak.json", weak)):
        (tmp_path / name).write_text(json.dumps(content))
    out = tmp_path / "acenas_nasbench101.parquet"
    command = ["import", "acenas", str(tmp_path / "gt.json"), "--weak", str(tmp_path / "weak.json")]
    assert (
        main(
            [*command, *["--dataset", "cifar10", "--epochs", "108", "--unit", "fraction", "--out"], str(out)]
        )
        == 0
    )
    overrides = [
        *("experiment=graphs_ltr", f"data_dir={tmp_path}", "logger.mode=disabled", "search.budget=8"),
        *("space.graphs=2", "space.nodes=3", "space.tags=6", "search.num_final=2", "search.per_round=3"),
        *("ranker.pretraining.epochs=2", "ranker.finetuning.passes=20"),
    ]
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        cfg = compose("config", overrides)
    check_config(cfg)
    run(cfg, tmp_path / "run")
    found = summary(tmp_path / "run")
    assert found["trained"] == 8 and found["space"] == "labelled_graphs"
