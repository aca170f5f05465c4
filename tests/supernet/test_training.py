from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger

from acenas.errors import UserError
from acenas.supernet import FairPaths, PathSampler, Supernet, SupernetTraining, UniformPaths
from acenas.training.processes import Hardware
from acenas.training.recipe import Recipe
from tests.supernet.example import RECIPE, SPACE, assert_same_weights, plain_training, task, training


class Recorded(Logger):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []

    name = "recorded"
    version = "0"

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append(dict(metrics))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass


def check(of: SupernetTraining, folder: Path) -> None:
    """Weights and metrics are those of the plain loops."""
    logger, expected = Recorded(), plain_training(of)
    assert_same_weights(of.run(folder, loggers=[logger]), expected.network)
    for name, values in {
        "loss": expected.losses,
        "train_accuracy": expected.accuracies,
        "learning_rate": expected.learning_rates,
    }.items():
        assert [row[f"supernet/{name}"] for row in logger.rows] == pytest.approx(values, rel=1e-5, abs=1e-9)
    assert_same_weights(of.load(folder / "supernet.pt"), expected.network)
    assert sorted(path.name for path in folder.iterdir()) == ["supernet.ckpt", "supernet.pt"]


@pytest.mark.parametrize("average", ["users", "paths"])
@pytest.mark.parametrize(
    "sampler", [UniformPaths(), UniformPaths(paths_per_step=3, connected_only=True), FairPaths()]
)
def test_weights_and_metrics_are_those_of_plain_loops(
    sampler: PathSampler, average: Any, tmp_path: Path
) -> None:
    check(training(sampler, average=average), tmp_path)


def test_accumulated_batches_make_one_step(tmp_path: Path) -> None:
    # 6 batches an epoch: steps of 4 and of the 2 that are left.
    check(training(UniformPaths(paths_per_step=2), accumulate=4, channels_last=True), tmp_path)


def test_two_processes_are_one_on_the_joined_batch(tmp_path: Path) -> None:
    check(training(UniformPaths(paths_per_step=2), devices=2, accumulate=2), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sampler", "average"),
    [(UniformPaths(), "users"), (UniformPaths(shared=True), "paths"), (FairPaths(), "paths")],
)
def test_two_processes_with_any_sampler(sampler: PathSampler, average: Any, tmp_path: Path) -> None:
    check(training(sampler, devices=2, average=average), tmp_path)


def test_what_no_path_uses_does_not_move(tmp_path: Path) -> None:
    class Skips(UniformPaths):
        def draw(self, space: Any, generator: torch.Generator) -> list[str]:
            return ["|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|skip_connect~1|none~2|"]

    of = training(Skips())
    before, after = of.fresh(), of.run(tmp_path)
    moved = {
        name.rpartition(".")[0]
        for (name, a), b in zip(before.named_parameters(), after.parameters(), strict=True)
        if not torch.equal(a, b)
    }
    outside = {name for name in moved if "edges" not in name}
    assert moved - outside == {f"layers.stage1_cell1.edges.01.nor_conv_3x3.{layer}" for layer in (1, 2)}
    assert {name.split(".")[1] for name in outside} == {"stem", "head"}


class Killed(pl.Callback):
    """Stops the training in the middle of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.current_epoch == self.epoch and trainer.global_step % 6 == 4:
            raise RuntimeError("killed")


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_a_training_that_was_killed_goes_on_to_the_same_weights(epoch: int, tmp_path: Path) -> None:
    of = training(UniformPaths(paths_per_step=2))
    whole = of.run(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="killed"):
        of.run(tmp_path / "killed", callbacks=[Killed(epoch)])
    assert not (tmp_path / "killed" / "supernet.pt").exists()
    logger = Recorded()
    assert_same_weights(of.run(tmp_path / "killed", loggers=[logger]), whole, tolerance=0)
    assert len(logger.rows) == RECIPE.epochs - epoch, "whole epochs are not trained again"


def test_what_is_trained_is_not_trained_again(tmp_path: Path) -> None:
    of = training()
    first = of.run(tmp_path)
    assert_same_weights(of.run(tmp_path, callbacks=[Killed(0)]), first, tolerance=0)


def test_first_weights_depend_on_the_seed_alone() -> None:
    state = torch.get_rng_state()
    first = training().fresh()
    torch.rand(1)
    assert_same_weights(training().fresh(), first, tolerance=0)
    torch.set_rng_state(state)


def test_bfloat16_trains_float32_weights(tmp_path: Path) -> None:
    hardware = Hardware(precision="bf16-mixed")
    network = SupernetTraining(SPACE, task(), UniformPaths(), RECIPE, hardware).run(tmp_path / "bf16")
    plain = SupernetTraining(SPACE, task(), UniformPaths(), RECIPE).run(tmp_path / "plain")
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert_same_weights(network, plain, tolerance=0.1)
    with pytest.raises(AssertionError):
        assert_same_weights(network, plain, tolerance=1e-5)


def test_choices_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="accumulate must be at least 1"):
        training(accumulate=0).run(tmp_path)
    with pytest.raises(UserError, match="average is users or paths"):
        Supernet(training().fresh(), SPACE, UniformPaths(), RECIPE, 0, average="sum")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="do not fill"):
        training(recipe=Recipe(epochs=1, batch_size=27, learning_rate=0.1)).run(tmp_path)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"layer": torch.zeros(1)}, tmp_path / "supernet.pt")
    with pytest.raises(UserError, match="remove its folder to train this super-net again"):
        training().run(tmp_path)
