from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from acenas.errors import UserError
from acenas.images import Augmentation, Digits, ImageSource, ImageSplits, ImageTask
from acenas.seeds import torch_generator
from acenas.spaces import MobileNet, NasBench101
from acenas.spaces.mobilenet.network import Skeleton, Stage
from acenas.spaces.nasbench201.network import NasBench201Network
from acenas.training.network import initialised
from acenas.training.recipe import Recipe
from acenas.training.side_by_side import Accuracies, side_by_side, train

OPERATIONS = ["nor_conv_3x3", "none", "skip_connect", "avg_pool_3x3", "nor_conv_1x1", "skip_connect"]
SHORT = Recipe(
    epochs=2, batch_size=32, learning_rate=0.3, nesterov=True, weight_decay=5e-4, warmup_epochs=0.2
)
HARDER = Augmentation(padding=1, noise=0.8)


class Given(ImageSource):
    """Splits made by the test."""

    name = "given"

    def __init__(self, splits: ImageSplits) -> None:
        self.given = splits

    def load(self) -> ImageSplits:
        return self.given


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def images() -> ImageTask:
    return ImageTask(Digits(valid=200, test=200), HARDER, HARDER, draws=2)


def build() -> nn.Module:
    return NasBench201Network(OPERATIONS, 10, in_channels=1, channels=4, cells_per_stage=1, stages=1)


def perturbed(images: torch.Tensor, splits: ImageSplits, generator: torch.Generator) -> torch.Tensor:
    """Shift by up to a pixel, then noise, one image after the other."""
    corners = torch.randint(3, (len(images), 2), generator=generator).tolist()
    moved = [
        F.pad(image, [1] * 4)[:, r : r + 8, c : c + 8] for image, (r, c) in zip(images, corners, strict=True)
    ]
    pixels = (torch.stack(moved).float() - splits.mean[0]) / splits.std[0]
    return pixels + 0.8 * torch.randn(pixels.shape, generator=generator)


def plain_training(recipe: Recipe, task: ImageTask, seed: int) -> list[float]:
    """One network, the textbook loop: PyTorch's own schedulers, no grouped convolutions. Accuracies in percent."""
    network, splits = initialised(build, seed), task.splits
    generator = torch_generator(seed, "training", "data")
    optimizer = torch.optim.SGD(
        network.parameters(), recipe.learning_rate, recipe.momentum, 0, recipe.weight_decay, nesterov=True
    )
    batches = len(splits.train.labels) // recipe.batch_size
    steps = recipe.epochs * batches
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: recipe.schedule(step, steps))
    for _ in range(recipe.epochs):
        order = torch.randperm(len(splits.train.labels), generator=generator)
        inputs, labels = perturbed(splits.train.images[order], splits, generator), splits.train.labels[order]
        for i in range(batches):
            part = slice(i * recipe.batch_size, (i + 1) * recipe.batch_size)
            optimizer.zero_grad()
            torch.autograd.backward(F.cross_entropy(network(inputs[part]), labels[part]))
            if recipe.gradient_clip is not None:
                nn.utils.clip_grad_norm_(network.parameters(), recipe.gradient_clip)
            optimizer.step()
            scheduler.step()
    network.eval()
    accuracies = []
    for name, measured in (("valid", splits.valid), ("test", splits.test)):
        images, labels = measured.images, measured.labels
        draws = torch_generator(0, "evaluation", name)
        right = [
            (network(perturbed(images, splits, draws)).argmax(1) == labels).double().mean().item()
            for _ in range(task.draws)
        ]
        accuracies.append(100 * float(np.mean(right)))
    return accuracies


@pytest.mark.parametrize("clip", [None, 0.3])
def test_trainings_in_one_pass_are_those_of_the_plain_loop(images: ImageTask, clip: float | None) -> None:
    recipe = replace(SHORT, gradient_clip=clip)
    together = train(build, recipe, images, [3, 5, 4])
    for seed, ours in zip([3, 5, 4], together, strict=True):
        # Rounding differs and grows from step to step: a few images of 400 may fall on the other side.
        assert list(ours) == pytest.approx(plain_training(recipe, images, seed), abs=2.0)
    assert len(set(together)) == 3


def test_the_same_seed_gives_the_same_result_whatever_global_generators_do(images: ImageTask) -> None:
    torch.manual_seed(0)
    first = train(build, SHORT, images, [1])
    state = torch.random.get_rng_state()
    torch.manual_seed(1)
    assert train(build, SHORT, images, [1]) == first
    torch.manual_seed(0)
    assert torch.equal(torch.random.get_rng_state(), state)  # nothing was drawn from it


def test_training_learns_and_accuracies_are_percent(images: ImageTask) -> None:
    def network() -> nn.Module:
        return NasBench201Network(
            ["nor_conv_3x3"] * 6, 10, in_channels=1, channels=8, cells_per_stage=1, stages=1
        )

    easier = ImageTask(images.source, Augmentation(padding=1, noise=0.2))
    (trained,) = train(network, SHORT.over(5), easier, [0])
    assert isinstance(trained, Accuracies)
    assert 50 < trained.valid <= 100 and 50 < trained.test <= 100


def test_a_network_that_outputs_a_constant_answers_one_class(images: ImageTask) -> None:
    def network() -> nn.Module:
        return NasBench201Network(["none"] * 6, 10, in_channels=1, channels=4, cells_per_stage=1, stages=1)

    (trained,) = train(network, SHORT.over(1), images, [0])
    classes = [100 * (images.splits.valid.labels == label).double().mean().item() for label in range(10)]
    assert any(trained.valid == pytest.approx(share) for share in classes)


def test_validation_images_decide_nothing_about_test_accuracy(images: ImageTask) -> None:
    splits = images.splits
    swapped = replace(images, source=Given(replace(splits, valid=splits.test)))
    (one,), (two,) = train(build, SHORT, images, [0]), train(build, SHORT, swapped, [0])
    assert one.test == two.test
    assert one.valid != two.valid


def test_a_batch_larger_than_the_training_images_is_refused(images: ImageTask) -> None:
    with pytest.raises(UserError, match="1397 training images do not fill a batch of 1398"):
        train(build, replace(SHORT, batch_size=1398), images, [0])


MERGED = ["nor_conv_3x3", "avg_pool_3x3", "nor_conv_1x1", "none", "nor_conv_3x3", "skip_connect"]


def networks(count: int) -> list[NasBench201Network]:
    torch.manual_seed(count)
    return [
        NasBench201Network(MERGED, 5, in_channels=2, channels=4, cells_per_stage=1, stages=2).double()
        for _ in range(count)
    ]


@pytest.mark.parametrize("count", [1, 3])
def test_outputs_gradients_and_statistics_are_those_of_each_network_alone(count: int) -> None:
    alone = networks(count)
    together = side_by_side(alone)
    images = [torch.randn(6, 2, 8, 8, dtype=torch.float64) for _ in alone]
    labels = torch.randint(5, (6, count))
    logits = together(torch.cat(images, dim=1))
    torch.autograd.backward(count * F.cross_entropy(logits.flatten(0, 1), labels.flatten()))
    for s, network in enumerate(alone):
        own = network(images[s])
        torch.testing.assert_close(logits[:, s], own)
        torch.autograd.backward(F.cross_entropy(own, labels[:, s]))
    for name, parameter in together.named_parameters():
        expected = torch.cat([network.get_parameter(name).grad.flatten() for network in alone])  # type: ignore[union-attr]
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad.flatten(), expected)
    together.eval()
    merged = together(torch.cat(images, dim=1))
    for s, network in enumerate(alone):
        torch.testing.assert_close(merged[:, s], network.eval()(images[s]))  # running statistics too


def test_the_weights_are_copies() -> None:
    alone = networks(2)
    before = alone[0].get_parameter("head.4.weight").clone()
    together = side_by_side(alone)
    with torch.no_grad():
        for parameter in together.parameters():
            parameter.zero_()
    assert torch.equal(alone[0].get_parameter("head.4.weight"), before)
    assert "count=2, in_features=8, out_features=5" in repr(together)


def test_depthwise_convolutions_are_merged_too() -> None:
    space = MobileNet(Skeleton([Stage(4, 2, 2)], 2, 4, 1, 4, 8), (3, 5), (1, 2))
    torch.manual_seed(0)
    alone = [space.build("k3e1,k5e2", 5).double().eval() for _ in range(3)]
    images = [torch.randn(6, 2, 8, 8, dtype=torch.float64) for _ in alone]
    together = side_by_side(alone)(torch.cat(images, dim=1))
    for s, network in enumerate(alone):
        torch.testing.assert_close(together[:, s], network(images[s]))


def test_what_cannot_be_merged_is_trained_one_after_the_other(images: ImageTask) -> None:
    def joined() -> nn.Module:
        return NasBench101(channels=4, cells_per_stage=1, stages=1, in_channels=1).build(arch, 10)

    def two_layers() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 16, bias=False), nn.ReLU(), nn.Linear(16, 10))

    arch = NasBench101().sample(1, torch_generator(0))[0]
    for build in (joined, two_layers):
        apart = [train(build, SHORT.over(1), images, [seed])[0] for seed in (0, 1)]
        assert train(build, SHORT.over(1), images, [0, 1]) == apart and apart[0] != apart[1]
