import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from acenas.errors import UserError
from acenas.evaluation.from_scratch import TrainingEvaluator
from acenas.evaluation.jobs import arch_folder, read_result
from acenas.images import Augmentation, ImageBatches
from acenas.seeds import derive_seed, torch_generator
from acenas.supernet import Scoring, SupernetTraining, UniformPaths
from acenas.training.final import FinalTraining, TrainedNetwork
from acenas.training.network import initialised
from acenas.training.recipe import Recipe
from acenas.training.side_by_side import train
from tests.training.final.example import ARCH, CLASSES, RECIPE, SPACE, task, training, write_data


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_data(folder)
    return folder


def plain_training(of: FinalTraining, ranks: int) -> nn.Module:
    """What `of` should do, written out: one gradient of the mean loss of a step, batch by batch and rank by rank."""
    splits, recipe = of.task.splits, of.recipe
    network = initialised(lambda: SPACE.build(ARCH, 3), of.seed).double()
    running = [[b.clone() for b in network.buffers()] for _ in range(ranks)]
    optimizer = recipe.optimizer(network)
    steps, done = of.image_count // recipe.batch_size, 0
    batch_count = recipe.batch_size // of.device_batch
    for epoch in range(recipe.epochs):
        order = torch_generator(of.seed, "images", "order", epoch)
        crops = derive_seed(of.seed, "images", "crops", epoch)
        batches = list(ImageBatches(splits.train, of.device_batch, order, crops=crops))
        for step in range(steps):
            optimizer.zero_grad()
            for place, (images, labels) in enumerate(batches[step * batch_count : (step + 1) * batch_count]):
                for buffer, value in zip(network.buffers(), running[place % ranks], strict=True):
                    buffer.copy_(value)
                loss = recipe.loss(network(splits.normalise(images).double()), labels)
                (loss / batch_count).backward()  # type: ignore[no-untyped-call]
                running[place % ranks] = [b.clone() for b in network.buffers()]
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * recipe.schedule(done, recipe.epochs * steps)
            optimizer.step()
            done += 1
        means = [torch.stack(of_ranks).to(torch.float64).mean(0) for of_ranks in zip(*running, strict=True)]
        running = [[mean.to(b.dtype) for mean, b in zip(means, network.buffers(), strict=True)]] * ranks
    for buffer, value in zip(network.buffers(), running[0], strict=True):
        buffer.copy_(value)
    return network.eval()


def assert_same(network: nn.Module, expected: nn.Module, tolerance: float = 1e-6) -> None:
    for (name, value), other in zip(
        network.state_dict().items(), expected.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(value.double(), other.double(), rtol=tolerance, atol=tolerance, msg=name)


def accuracy(network: nn.Module, of: FinalTraining, part: Any) -> float:
    network = network.double()
    right = [
        network(images.double()).argmax(1) == labels for images, labels in of.task.evaluation_batches(part, 2)
    ]
    return 100 * torch.cat(right).double().mean().item()


def test_weights_and_accuracies_are_those_of_a_plain_loop(root: Path, tmp_path: Path) -> None:
    of = training(root)  # 27 images: 3 steps of 2 batches, 3 images are left out
    trained = of.run(tmp_path)
    expected = plain_training(of, ranks=1)
    assert_same(trained.network, expected)
    facts = trained.facts
    assert facts.accuracy == pytest.approx(
        {"valid": accuracy(expected, of, "valid"), "test": accuracy(expected, of, "test")}
    )
    assert facts.classes == CLASSES and facts.image_shape == (3, 8, 8) and facts.damaged == {}
    again = TrainedNetwork.load(tmp_path, SPACE)
    assert_same(again.network, trained.network, tolerance=0)
    assert again.facts == facts
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "network.json", "network.pt", "training.ckpt",
    ]  # fmt: skip
    assert again.measured(of.task, "test", torch.device("cpu"), 4) == pytest.approx(facts.accuracy["test"])


@pytest.mark.slow
def test_two_processes_are_one_with_twice_the_batches(root: Path, tmp_path: Path) -> None:
    of = training(root, devices=2, task=task(root, workers=1))
    trained, expected = of.run(tmp_path), plain_training(of, ranks=2)
    assert_same(trained.network, expected)
    assert trained.facts.accuracy["test"] == pytest.approx(accuracy(expected, of, "test"))


class Killed(pl.Callback):
    """Stops the training in the middle of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.current_epoch == self.epoch and args[-1] == 3:
            raise RuntimeError("killed")


def test_a_training_that_was_killed_goes_on_to_the_same_weights(root: Path, tmp_path: Path) -> None:
    of = training(root, task=task(root, Augmentation(flip=True, colour=0.4)), dropout=0.3)
    whole = of.run(tmp_path / "whole")
    for epoch in (0, 2):
        with pytest.raises(RuntimeError, match="killed"):
            of.run(tmp_path / "killed", callbacks=[Killed(epoch)])
    resumed = of.run(tmp_path / "killed")
    assert_same(resumed.network, whole.network, tolerance=0)
    assert resumed.facts == whole.facts
    assert_same(of.run(tmp_path / "killed", [Killed(0)]).network, whole.network, tolerance=0)


def test_dropout_is_for_training_alone(root: Path, tmp_path: Path) -> None:
    plain, dropped = training(root).run(tmp_path / "a"), training(root, dropout=0.9).run(tmp_path / "b")
    assert dropped.network.state_dict().keys() == plain.network.state_dict().keys()
    assert not torch.equal(next(dropped.network.parameters()), next(plain.network.parameters()))
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(dropped.network(images), dropped.network(images))
    assert not any(layer._forward_pre_hooks for layer in dropped.network.modules())


def test_all_images_can_be_learned_from_and_then_only_the_test_images_are_measured(
    root: Path, tmp_path: Path
) -> None:
    of = training(root, learn_from="train_and_valid", recipe={"batch_size": 36, "epochs": 1, "warmup_epochs": 0},
                  device_batch=36)  # fmt: skip
    assert of.image_count == 36
    assert of.run(tmp_path).facts.accuracy.keys() == {"test"}


def test_damaged_images_are_told_and_skipped_or_fatal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_data(tmp_path)
    path = tmp_path / "train" / "red" / "red_0.jpg"
    path.write_bytes(path.read_bytes()[:-100])
    (tmp_path / "val" / "green" / "green_1.png").write_bytes(b"nothing")
    everything = {"batch_size": 36, "epochs": 1, "warmup_epochs": 0}
    options: dict[str, Any] = {"learn_from": "train_and_valid", "recipe": everything, "device_batch": 36}
    with caplog.at_level(logging.WARNING, "acenas"):
        trained = training(tmp_path, **options, task=task(tmp_path, workers=1)).run(tmp_path / "skip")
    assert trained.facts.damaged.keys() == {"train/red/red_0.jpg", "val/green/green_1.png"}
    for name in trained.facts.damaged:
        assert sum(name in record.getMessage() for record in caplog.records) == 1
    with pytest.raises(UserError, match=r"train/red/red_0\.jpg: the image is damaged \(.*truncated"):
        training(tmp_path, **options, task=task(tmp_path, on_damage="fail")).run(tmp_path / "fail")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device_batch": 3}, "such as 2, or recipe.batch_size"),
        ({"device_batch": 0}, "device_batch must be at least 1"),
        ({"dropout": 1.0}, "dropout lies between"),
        ({"learn_from": "test"}, "train or train_and_valid"),
        ({"recipe": {"batch_size": 28}}, "27 training images do not fill a step of 28"),
    ],
)
def test_what_makes_no_sense_is_refused(
    root: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        training(root, **options).run(tmp_path)


def test_weights_of_another_network_are_refused(root: Path, tmp_path: Path) -> None:
    trained = training(root, recipe={"epochs": 1, "warmup_epochs": 0}).run(tmp_path)
    torch.save({"layer": torch.zeros(1)}, tmp_path / "network.pt")
    with pytest.raises(
        UserError, match=r"network\.pt is damaged, or not what is due .* to train the network .* again"
    ):
        TrainedNetwork.load(tmp_path, SPACE)
    checkpoint = TrainedNetwork.of(SPACE, trained.facts, tmp_path / "training.ckpt")
    assert_same(checkpoint.network, trained.network)
    with pytest.raises(UserError, match="does not describe a trained network"):
        TrainedNetwork.load(tmp_path / "nothing", SPACE)


TRAIN = """
import sys, time
from pathlib import Path
import pytorch_lightning as pl
from tests.training.final.example import task, training

class Slow(pl.Callback):
    def on_train_batch_end(self, trainer, *args):
        if trainer.current_epoch:
            time.sleep(100)  # in the middle of the second epoch

if __name__ == "__main__":
    root = Path(sys.argv[1])
    training(root, devices=2, task=task(root, workers=1)).run(sys.argv[2], callbacks=[Slow()])
"""


@pytest.mark.slow
def test_two_processes_that_are_killed_go_on_to_the_same_weights(root: Path, tmp_path: Path) -> None:
    of = training(root, devices=2, task=task(root, workers=1))
    whole = of.run(tmp_path / "whole")
    script, folder = tmp_path / "train.py", tmp_path / "killed"
    script.write_text(TRAIN)
    process = subprocess.Popen(
        [sys.executable, str(script), str(root), str(folder)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not (folder / "training.ckpt").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "network.pt").exists()
    resumed = of.run(folder)
    assert_same(resumed.network, whole.network, tolerance=0)
    assert resumed.facts == whole.facts


@pytest.mark.slow
def test_it_learns(root: Path, tmp_path: Path) -> None:
    of = training(root, recipe={"epochs": 30, "learning_rate": 0.2})
    assert RECIPE.epochs == 3
    assert of.run(tmp_path).facts.accuracy["test"] > 85


@pytest.mark.slow
def test_images_on_the_disk_serve_searches_too(root: Path, tmp_path: Path) -> None:
    """What an evaluator trains, a super-net and its scores are the same whatever the workers that read."""
    recipe = Recipe(epochs=1, batch_size=4, learning_rate=0.1)
    found = []
    for workers in (0, 1):
        of = task(root, Augmentation(flip=True), workers=workers)
        evaluator = TrainingEvaluator(SPACE, of, recipe, tmp_path / f"{workers}", accelerator="cpu", jobs=1)
        evaluator.evaluate([ARCH])
        result = read_result(arch_folder(evaluator.folder, ARCH), ARCH)
        (alone,) = train(lambda: SPACE.build(ARCH, 3), recipe, of, [0])
        network = SupernetTraining(SPACE, of, UniformPaths(), recipe).run(tmp_path / f"supernet{workers}")
        labels = Scoring(SPACE, of, archs=[ARCH], batch_norm="recalibrated", batch_size=4, images=8).run(
            network, tmp_path / f"score{workers}", "w"
        )
        found.append((result["value"], *alone, *labels.values([ARCH])[0].tolist()))
    assert found[0] == found[1]
    assert found[0][0] == pytest.approx(found[0][1])
