import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from acenas.errors import UserError
from acenas.evaluation.training import Accuracies, Recipe, initialised, perturbed, train
from acenas.images.digits import DigitSplits, load_digit_splits
from acenas.networks.nasbench201 import NasBench201Network
from acenas.seeds import torch_generator

OPERATIONS = ["nor_conv_3x3", "none", "skip_connect", "avg_pool_3x3", "nor_conv_1x1", "skip_connect"]
SHORT = Recipe(epochs=2, draws=2)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def images() -> DigitSplits:
    return load_digit_splits(valid=200, test=200)


def build() -> nn.Module:
    return NasBench201Network(OPERATIONS, 10, in_channels=1, channels=4, cells_per_stage=1, stages=1)


def plain_training(recipe: Recipe, images: DigitSplits, seed: int) -> list[float]:
    """One network, the textbook loop: PyTorch's own schedulers, no grouped convolutions. Accuracies in percent."""
    network = initialised(build, seed)
    generator = torch_generator(seed, "training", "data")
    optimizer = torch.optim.SGD(
        network.parameters(), recipe.learning_rate, recipe.momentum, 0, recipe.weight_decay, nesterov=True
    )
    batches = len(images.train.labels) // recipe.batch_size
    steps = recipe.epochs * batches
    rising = recipe.warmup * steps

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        return (1 + math.cos(math.pi * (step - rising) / (steps - rising))) / 2

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    for _ in range(recipe.epochs):
        order = torch.randperm(len(images.train.labels), generator=generator)
        inputs, labels = perturbed(images.train.images[order], recipe, generator), images.train.labels[order]
        for i in range(batches):
            part = slice(i * recipe.batch_size, (i + 1) * recipe.batch_size)
            optimizer.zero_grad()
            torch.autograd.backward(F.cross_entropy(network(inputs[part]), labels[part]))
            optimizer.step()
            scheduler.step()
    network.eval()
    accuracies = []
    for name, part_ in (("valid", images.valid), ("test", images.test)):
        draws = torch_generator(0, "evaluation", name)
        right = [
            (network(perturbed(part_.images, recipe, draws)).argmax(1) == part_.labels).double().mean().item()
            for _ in range(recipe.draws)
        ]
        accuracies.append(100 * float(np.mean(right)))
    return accuracies


def test_trainings_in_one_pass_are_those_of_the_plain_loop(images: DigitSplits) -> None:
    together = train(build, SHORT, images, [3, 5, 4])
    for seed, ours in zip([3, 5, 4], together, strict=True):
        # Rounding differs and grows from step to step: a few images of 400 may fall on the other side.
        assert list(ours) == pytest.approx(plain_training(SHORT, images, seed), abs=2.0)
    assert len(set(together)) == 3


def test_the_same_seed_gives_the_same_result_whatever_global_generators_do(images: DigitSplits) -> None:
    torch.manual_seed(0)
    first = train(build, SHORT, images, [1])
    state = torch.random.get_rng_state()
    torch.manual_seed(1)
    assert train(build, SHORT, images, [1]) == first
    torch.manual_seed(0)
    assert torch.equal(torch.random.get_rng_state(), state)  # nothing was drawn from it


def test_training_learns_and_accuracies_are_percent(images: DigitSplits) -> None:
    def network() -> nn.Module:
        return NasBench201Network(
            ["nor_conv_3x3"] * 6, 10, in_channels=1, channels=8, cells_per_stage=1, stages=1
        )

    (trained,) = train(network, replace(SHORT, epochs=5, noise=0.2), images, [0])
    assert isinstance(trained, Accuracies)
    assert 50 < trained.valid <= 100 and 50 < trained.test <= 100


def test_a_network_that_outputs_a_constant_answers_one_class(images: DigitSplits) -> None:
    def network() -> nn.Module:
        return NasBench201Network(["none"] * 6, 10, in_channels=1, channels=4, cells_per_stage=1, stages=1)

    (trained,) = train(network, replace(SHORT, epochs=1), images, [0])
    classes = [100 * (images.valid.labels == label).double().mean().item() for label in range(10)]
    assert any(trained.valid == pytest.approx(share) for share in classes)


def test_validation_images_decide_nothing_about_test_accuracy(images: DigitSplits) -> None:
    swapped = DigitSplits(images.train, images.test, images.test)
    (one,), (two,) = train(build, SHORT, images, [0]), train(build, SHORT, swapped, [0])
    assert one.test == two.test


def test_perturbed_images_are_shifted_copies_with_noise() -> None:
    images = torch.arange(64.0).reshape(1, 1, 8, 8).repeat(300, 1, 1, 1)
    moved = perturbed(images, Recipe(noise=0.0, shift=1), torch_generator(0))
    padded = F.pad(images[0, 0], [1] * 4)
    copies = {(r, c): padded[r : r + 8, c : c + 8] for r in range(3) for c in range(3)}
    seen = {key for image in moved for key, copy in copies.items() if torch.equal(image[0], copy)}
    assert len(seen) == 9
    assert all(any(torch.equal(image[0], copy) for copy in copies.values()) for image in moved)

    still = perturbed(images, Recipe(noise=0.7, shift=0), torch_generator(0)) - images
    assert still.std().item() == pytest.approx(0.7, rel=0.02)
    assert still.mean().item() == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"draws": 0}, "draws must be at least 1"),
        ({"noise": -0.1}, "noise must be at least 0"),
        ({"shift": -1}, "shift must be at least 0"),
        ({"warmup": 1.0}, "warmup is a part of the training"),
    ],
)
def test_recipes_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        replace(SHORT, **changes)


def test_a_batch_larger_than_the_training_images_is_refused(images: DigitSplits) -> None:
    with pytest.raises(UserError, match="1397 training images do not fill a batch of 1398"):
        train(build, replace(SHORT, batch_size=1398), images, [0])
