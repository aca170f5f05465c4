"""experiment=nb201_ltr on each data set, and its super-net's labels, on cells that were really trained on digits."""

from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from acenas.run.config import check_config, conf_dir
from acenas.run.pipeline import run
from acenas.tables import WeakLabels
from tests.integration.conftest import summary
from tests.tables.stand_ins import write_nb201

SMALL = (
    "search.budget=8",
    "search.per_round=3",
    "ranker.pretraining.epochs=1",
    "ranker.finetuning.passes=5",
    "logger.mode=disabled",
)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_nb201(folder)
    return folder


def config(*overrides: str) -> DictConfig:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        cfg = compose("config", list(overrides))
    check_config(cfg)
    return cfg


@pytest.mark.parametrize(
    "dataset",
    ["imagenet16", *(pytest.param(name, marks=pytest.mark.slow) for name in ("cifar10", "cifar100"))],
)
def test_the_experiment_runs(data_dir: Path, tmp_path: Path, dataset: str) -> None:
    costs = f"weak_labels=[{dataset}.flops_m,{dataset}.params_m]"  # an imported table has no super-net's
    table = ("table=nb201", f"table.dataset={dataset}", f"data_dir={data_dir}")
    run(config("experiment=nb201_ltr", *table, costs, *SMALL), tmp_path)
    found = summary(tmp_path)
    assert found["trained"] == 8 and found["dataset"] == dataset
    assert found["returned"]["test_accuracy"] <= found["best_known"]["test_accuracy"]


@pytest.mark.slow
def test_the_supernets_labels_are_learned_from(data_dir: Path, tmp_path: Path) -> None:
    small = ("space=nasbench201_digits", "space.channels=4", "supernet.recipe.epochs=4", "scoring.images=100")
    digits = ("images=digits", "supernet=digits", "scoring=digits", "logger.mode=disabled")
    supernet = tmp_path / "supernet"
    run(config("experiment=nb201_supernet", *digits, *small, "supernet.recipe.warmup_epochs=0"), supernet)
    labels = WeakLabels.load(supernet / "weak_labels.parquet", space="nasbench201")
    assert len(labels) == 15_625

    names = "weak_labels=[weak.supernet,imagenet16.flops_m]"
    table = ("table=nb201", "table.dataset=imagenet16", f"data_dir={data_dir}")
    learned = (names, f"weak_labels_file={supernet}/weak_labels.parquet")
    run(config("experiment=nb201_ltr", *table, *learned, *SMALL), tmp_path / "search")
    assert summary(tmp_path / "search")["trained"] == 8
    columns = pd.read_csv(tmp_path / "search/metrics.csv").columns
    assert {"pretrain/weak.supernet_mse", "pretrain/imagenet16.flops_m_mse"} <= set(columns)
