"""experiment=nb101_ltr as a user runs it, on a small part of the space with made-up accuracies."""

from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from acenas.errors import UserError
from acenas.run.config import check_config, conf_dir
from acenas.run.pipeline import run
from acenas.spaces import NasBench101
from acenas.tables import WeakLabels
from tests.integration.conftest import summary
from tests.tables.stand_ins import write_nb101

SMALL = (
    "search.budget=8",
    "search.per_round=3",
    "search.num_final=2",
    "ranker.pretraining.epochs=1",
    "ranker.finetuning.passes=5",
)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_nb101(folder)
    return folder


def config(data_dir: Path, *overrides: str) -> DictConfig:
    overrides = ("experiment=nb101_ltr", f"data_dir={data_dir}", "logger.mode=disabled", *SMALL, *overrides)
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return compose("config", list(overrides))


@pytest.mark.parametrize(
    "overrides", [["table=nb101_sample"], [], ["weak_labels=[weak.short.12,cifar10.params_m]"]]
)
def test_the_experiment_runs(data_dir: Path, tmp_path: Path, overrides: list[str]) -> None:
    cfg = config(data_dir, *overrides)
    check_config(cfg)
    run(cfg, tmp_path)
    found = summary(tmp_path)
    assert found["trained"] == 8 and found["dataset"] == "cifar10"
    assert found["returned"]["test_accuracy"] <= found["best_known"]["test_accuracy"]
    assert NasBench101().canonical(found["returned"]["arch"])
    assert (tmp_path / "report.html").exists()


def test_the_whole_space_is_no_other_benchmark(data_dir: Path) -> None:
    with pytest.raises(UserError, match="of the space nasbench101, not nasbench201"):
        check_config(config(data_dir, "table.space=nasbench201"))


@pytest.mark.parametrize("column", ["cifar10.valid.108", "cifar10.params_m", "cifar10.valid.200"])
def test_only_shorter_trainings_are_weak_labels(data_dir: Path, column: str) -> None:
    cfg = config(data_dir, "table=nb101_sample")
    cfg.table.short_trainings["weak.short.4"] = column
    with pytest.raises(UserError, match=r"after fewer epochs than the observed|is what a training shows"):
        check_config(cfg)


def test_the_supernet_gives_weak_labels(tmp_path: Path) -> None:
    small = (
        "space=nasbench101_digits",
        "images=digits",
        "supernet=digits",
        "scoring=digits",
        "scoring.archs=9",
    )
    epochs = ("supernet.recipe.epochs=1", "supernet.recipe.warmup_epochs=0", "logger.mode=disabled")
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        cfg = compose("config", ["experiment=nb101_supernet", *small, *epochs])
    check_config(cfg)
    run(cfg, tmp_path)
    labels = WeakLabels.load(tmp_path / "weak_labels.parquet", space="nasbench101")
    assert len(labels) == 9
    assert {"digits.params_m", "digits.flops_m"} < set(labels.names)
    assert np.isfinite(labels.values(labels.archs)).all()
