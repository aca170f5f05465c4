"""experiment=nds_*_ltr and nds_*_supernet as a user runs them, on networks of these spaces that are small."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from acenas.errors import UserError
from acenas.evaluation.from_scratch import TrainingEvaluator, TrainingJudge
from acenas.images import Augmentation, Digits, ImageTask
from acenas.run.config import check_config, conf_dir
from acenas.run.pipeline import run
from acenas.spaces import NDS
from acenas.spaces.nds.cells import FAMILIES
from acenas.tables import TableMetadata, WeakLabels, write_table
from acenas.training.recipe import Recipe
from tests.integration.conftest import summary
from tests.tables.stand_ins import write_nds

SEARCH = (
    "search.budget=6",
    "search.per_round=3",
    "ranker.pretraining.epochs=1",
    "ranker.finetuning.passes=5",
)
SMALL = ("space.variant=cifar10", "space.widths=[2,4]", "space.depths=[3,4]", "space.in_channels=1")
SUPERNET = ("images=digits", "supernet=digits", "supernet.recipe.warmup_epochs=0", "scoring.batch_size=100")


def config(data_dir: Path, *overrides: str) -> DictConfig:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        cfg = compose("config", [f"data_dir={data_dir}", "logger.mode=disabled", *overrides])
    check_config(cfg)
    return cfg


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_nds(folder)
    return folder


@pytest.mark.parametrize(
    ("family", "dataset"),
    [
        *(("darts", dataset) for dataset in ("cifar10", "cifar10_fixed", "imagenet")),
        ("enas", "cifar10_fixed"), ("pnas", "cifar10_fixed"), ("nasnet", "imagenet"), ("amoeba", "imagenet"),
    ],
)  # fmt: skip
def test_every_variant_is_an_experiment_away(made_up: Path, family: str, dataset: str) -> None:
    cfg = config(made_up, f"experiment=nds_{family}_ltr", f"table.dataset={dataset}")
    assert cfg.space.variant == dataset
    column = "imagenet.observed.50" if dataset == "imagenet" else "cifar10.observed.100"
    assert cfg.table.observed == column
    assert list(cfg.weak_labels) == [f"{column.split('.')[0]}.{cost}" for cost in ("flops_m", "params_m")]


def test_a_variant_that_the_benchmark_has_not_is_an_error(made_up: Path) -> None:
    with pytest.raises(UserError, match="choose one of: cifar10, imagenet"):
        config(made_up, "experiment=nds_nasnet_ltr", "table.dataset=cifar10_fixed")


def test_the_supernet_of_a_space_needs_a_table_to_score(made_up: Path) -> None:
    with pytest.raises(UserError, match="needs table; choose one"):
        config(made_up, "experiment=nds_enas_supernet", "table=none", "space.variant=cifar10")
    config(made_up, "experiment=nds_enas_supernet", "table=none", "space.variant=cifar10", "scoring=batch")


@pytest.mark.parametrize("dataset", ["imagenet", pytest.param("cifar10_fixed", marks=pytest.mark.slow)])
def test_the_experiment_runs(made_up: Path, tmp_path: Path, dataset: str) -> None:
    run(config(made_up, "experiment=nds_darts_ltr", f"table.dataset={dataset}", *SEARCH), tmp_path)
    found = summary(tmp_path)
    assert found["trained"] == 6 and found["dataset"] == dataset
    assert found["returned"]["test_accuracy"] <= found["best_known"]["test_accuracy"]
    NDS("darts", dataset).validate(found["returned"]["arch"])  # type: ignore[arg-type]
    assert "params_m" in (tmp_path / "report.html").read_text()


# --- networks that are really trained ---


@pytest.fixture(scope="module", params=list(FAMILIES))
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A family, and a folder with a table of ten of its networks, trained on digits for an epoch."""
    family, folder = request.param, tmp_path_factory.mktemp(request.param)
    space = NDS(family, widths=(2, 4), depths=(3, 4), in_channels=1)
    archs = space.canonical_all(space.sample(10, torch.Generator().manual_seed(0)))
    harder = Augmentation(padding=1, noise=0.8)
    images, recipe = ImageTask(Digits(), harder, harder), Recipe(epochs=1, batch_size=32, learning_rate=0.03)
    observed = TrainingEvaluator(space, images, recipe, folder / "trained", jobs=1).evaluate(archs)
    frame = pd.DataFrame({"arch": archs, "digits.observed.1": observed.observed_accuracy})
    frame["digits.test.1"] = TrainingJudge(space, images, folder / "trained").test_accuracy(archs)
    costs = space.costs(archs, 10, (1, 8, 8))
    frame["digits.params_m"], frame["digits.flops_m"] = zip(
        *[(c.params_m, c.flops_m) for c in costs], strict=True
    )
    write_table(frame, folder / "digits.parquet", TableMetadata(space.name, source="trained by a test"))
    return family, folder


def on_digits(experiment: str) -> tuple[str, ...]:
    """The experiment with its query protocol on the table of `trained`."""
    return (
        f"experiment={experiment}",
        "table.dataset=digits",
        "table.path=digits",
        "+table.protocols.digits={observed: digits.observed.1, test: digits.test.1}",
        "+table.columns.digits=digits",
        *SMALL,
    )


@pytest.mark.slow
def test_a_supernet_labels_the_table_and_the_ranker_learns_from_it(
    trained: tuple[str, Path], tmp_path: Path
) -> None:
    family, data_dir = trained
    supernet, search = tmp_path / "supernet", tmp_path / "search"
    run(
        config(data_dir, *on_digits(f"nds_{family}_supernet"), *SUPERNET, "supernet.recipe.epochs=2"),
        supernet,
    )
    labels = WeakLabels.load(supernet / "weak_labels.parquet", space=f"nds_{family}")
    assert len(labels) == 10 and np.isfinite(labels.values(labels.archs)).all()
    assert summary(supernet)["weak_labels"]["weak.supernet"]["architectures"] == 10
    from_supernet = (
        f"weak_labels_file={supernet / 'weak_labels.parquet'}",
        "weak_labels=[weak.supernet,weak.supernet_loss,digits.flops_m,digits.params_m]",
    )
    run(config(data_dir, *on_digits(f"nds_{family}_ltr"), *SEARCH, *from_supernet), search)
    found = summary(search)
    assert found["trained"] == 6 and found["returned"]["arch"] in labels.archs
    assert found["returned"]["observed_accuracy"] > 15, "better than chance after an epoch"


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        (
            *("ranker=paper", "search=half_best", "search.num_final=2"),
            *("ranker.finetuning.list_size=3", "ranker.pretraining.epochs=2"),
        ),
        ("ranker=brp_nas", "ranker.finetuning.passes=5"),
        ("ranker=bananas", "ranker.steps=20"),
        ("ranker=gp",),
        ("ranker=random_forest",),
        ("search=evolution", "search.population=3", "search.tournament=2"),
    ],
    ids=lambda method: method[0],
)  # fmt: skip
def test_every_kind_of_ranker_takes_two_graphs_and_globals(
    made_up: Path, tmp_path: Path, method: tuple[str, ...]
) -> None:
    budget = ("search.budget=6", "search.per_round=3")
    run(config(made_up, "experiment=nds_pnas_ltr", *method, *budget), tmp_path)
    assert summary(tmp_path)["trained"] == 6
