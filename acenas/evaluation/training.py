"""Trains small networks from scratch on the digits and measures their accuracy.

The images are small and easy: networks of every cell get them nearly all right, and then chance ranks the cells. A
`Recipe` makes them harder, with noise and shifts that are drawn anew in every epoch, so that cells differ by more
than two trainings of one cell do. `benchmarks/digits_recipe.py` measures how well a recipe ranks.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acenas.errors import UserError
from acenas.images.digits import DigitSplits, Images
from acenas.networks.side_by_side import side_by_side
from acenas.seeds import derive_seed, torch_generator


@dataclass(frozen=True)
class Recipe:
    """How a network is trained and measured. The defaults are those of the table that the package carries.

    Attributes:
        epochs: passes over the training images; images that do not fill the last batch wait for the next pass.
        batch_size: images in a step.
        learning_rate: the highest, of SGD with Nesterov momentum; it rises linearly from 0, then falls to 0 along a
            cosine.
        momentum: of SGD.
        weight_decay: of all parameters.
        warmup: part of all steps in which the learning rate rises.
        noise: standard deviation of the Gaussian noise on every pixel; pixels have standard deviation 1 without it.
        shift: images are moved by up to so many pixels in both directions; what moves in is background.
        draws: times that each image is evaluated, each with other noise and another shift. They are the same for
            every network, so that two networks differ by their answers and not by their questions.

    Raises:
        UserError: where a value is out of range.
    """

    epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 0.3
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup: float = 0.1
    noise: float = 0.8
    shift: int = 1
    draws: int = 4

    def __post_init__(self) -> None:
        for name, lowest in {"epochs": 1, "batch_size": 1, "draws": 1, "noise": 0, "shift": 0}.items():
            if getattr(self, name) < lowest:
                raise UserError(f"recipe: {name} must be at least {lowest}, not {getattr(self, name)}")
        if not 0 <= self.warmup < 1:
            raise UserError(f"recipe: warmup is a part of the training from 0 to below 1, not {self.warmup}")


class Accuracies(NamedTuple):
    """Accuracies of one trained network, in percent.

    Attributes:
        valid: on the validation images.
        test: on the test images; nothing that searches, trains or selects may see it.
    """

    valid: float
    test: float


def train(
    build: Callable[[], nn.Module], recipe: Recipe, images: DigitSplits, seeds: Sequence[int]
) -> list[Accuracies]:
    """Trains the network that `build` makes once for each of `seeds`, all in one pass, and measures each.

    The trainings are independent: a seed sets a network's first weights, order of images, noise and shifts, and
    its result is that of a training alone up to rounding. Neither reads nor changes torch's global generator.

    Args:
        build: makes the network, of one linear layer and otherwise what `side_by_side` allows, for `[B, 1, 8, 8]`.
        recipe: how to train and measure.
        images: where to train and measure.
        seeds: one training for each.

    Returns:
        One pair of accuracies in percent for each seed, in their order.

    Raises:
        UserError: where the training images do not fill one batch.
    """
    steps_each = len(images.train.labels) // recipe.batch_size
    if steps_each == 0:
        raise UserError(
            f"recipe: {len(images.train.labels)} training images do not fill a batch of {recipe.batch_size}; "
            "choose a smaller batch_size"
        )
    network = side_by_side([initialised(build, seed) for seed in seeds])
    generators = [torch_generator(seed, "training", "data") for seed in seeds]
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=True,
        weight_decay=recipe.weight_decay,
        foreach=True,  # one call for all parameters: there are many and they are small
    )
    step, steps = 0, recipe.epochs * steps_each
    for _ in range(recipe.epochs):
        epoch_images, epoch_labels = _epoch(images.train, recipe, generators)
        for batch in range(steps_each):
            part = slice(batch * recipe.batch_size, (batch + 1) * recipe.batch_size)
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * _schedule(step, steps, recipe.warmup)
            logits = network(epoch_images[part].contiguous(memory_format=torch.channels_last))
            # The mean over the images and the sum over the networks: each gets the gradient of its own mean loss.
            loss = len(seeds) * F.cross_entropy(logits.flatten(0, 1), epoch_labels[part].flatten())
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            step += 1
    valid = _accuracy(network, images.valid, recipe, len(seeds), "valid")
    test = _accuracy(network, images.test, recipe, len(seeds), "test")
    return [Accuracies(v, t) for v, t in zip(valid, test, strict=True)]


def initialised(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """The network of `build` with first weights that depend on `seed` alone; torch's global generator is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "training", "weights"))
        return build()


def perturbed(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """`images` `[N, 1, H, W]`, each moved at random by up to `recipe.shift` pixels and with `recipe.noise` added."""
    count, _, height, width = images.shape
    background = images.min().item()
    padded = F.pad(images, [recipe.shift] * 4, value=background)
    corner = torch.randint(2 * recipe.shift + 1, (count, 2), generator=generator)
    rows = corner[:, 0, None] + torch.arange(height)
    columns = corner[:, 1, None] + torch.arange(width)
    moved = padded[torch.arange(count)[:, None, None], 0, rows[:, :, None], columns[:, None, :]][:, None]
    return moved + recipe.noise * torch.randn(images.shape, generator=generator)


def _epoch(images: Images, recipe: Recipe, generators: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
    """All images of one epoch, `[N, S, H, W]`, and their labels, `[N, S]`, in each network's own order."""
    perturbed_images, labels = [], []
    for generator in generators:
        order = torch.randperm(len(images.labels), generator=generator)
        perturbed_images.append(perturbed(images.images[order], recipe, generator))
        labels.append(images.labels[order])
    return torch.cat(perturbed_images, dim=1), torch.stack(labels, dim=1)


def _schedule(step: int, steps: int, warmup: float) -> float:
    """Part of the highest learning rate: linear up to 1 in the first `warmup` of the steps, then a cosine to 0."""
    rising = warmup * steps
    if step < rising:
        return (step + 1) / (rising + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / (steps - rising)))


@torch.no_grad()
def _accuracy(network: nn.Module, images: Images, recipe: Recipe, count: int, name: str) -> list[float]:
    """Accuracy in percent of each of `count` networks side by side, over `recipe.draws` draws of the images."""
    network.eval()
    generator = torch_generator(0, "evaluation", name)
    correct = torch.zeros(count)
    for _ in range(recipe.draws):
        inputs = perturbed(images.images, recipe, generator).repeat(1, count, 1, 1)
        logits = network(inputs.contiguous(memory_format=torch.channels_last))
        correct += (logits.argmax(-1) == images.labels[:, None]).sum(0)
    network.train()
    return (100 * correct / (recipe.draws * len(images.labels))).tolist()
