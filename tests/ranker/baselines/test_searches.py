"""Every baseline in a whole run, as its YAML makes it: a dozen architectures of the table that the package carries."""

import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from acenas.run import pipeline
from acenas.run.config import check_config, conf_dir

CHOICES = {
    "weak_label": ["ranker=weak_label"],
    "gp": ["ranker=gp"],
    "random_forest": ["ranker=random_forest"],
    "xgboost": ["ranker=xgboost"],
    "lightgbm": ["ranker=lightgbm"],
    "bananas": ["ranker=bananas", "ranker.steps=50"],
    "brp_nas": ["ranker=brp_nas", "ranker.finetuning.passes=5"],
    "gcn_regression": ["ranker=gcn_regression", "ranker.finetuning.passes=5"],
    "random": ["search=random"],
    "evolution": ["search=evolution", "search.population=6", "search.per_round=3"],
    "gp without weak labels": ["ranker=gp", "weak_labels=[]"],
    "evolution with a ranker": ["search=evolution", "search.population=6", "search.per_round=6", "ranker=gp"],
}


@pytest.mark.parametrize("name", CHOICES)
def test_a_run_from_the_config_to_the_summary(name: str, tmp_path: Path) -> None:
    settings = ["search.budget=12", "logger.mode=disabled", "experiment=nb201_ltr"]
    if "search=" not in " ".join(CHOICES[name]):
        settings += ["search.per_round=6", "search.num_final=6"]
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        cfg = compose("config", overrides=[*settings, *CHOICES[name]])
    check_config(cfg)
    pipeline.run(cfg, tmp_path, page=False)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["trained"] == 12
    assert summary["curve"][-1]["trained"] == 12
