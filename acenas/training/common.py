"""Trains networks from scratch and measures their accuracy: what the trainings of a table and of a search share.

Small and easy images are told apart by every network, and then chance ranks the architectures. An `ImageTask` makes
them harder, with noise and shifts that are drawn anew in every epoch, so that architectures differ by more than two
trainings of one do. `benchmarks/digits_recipe.py` measures how well a recipe ranks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from acenas.errors import UserError
from acenas.files import write_text
from acenas.images import ImageFiles, ImagePart, Images, ImageTask
from acenas.seeds import derive_seed
from acenas.training.recipe import Recipe
from acenas.training.side_by_side import side_by_side

EVALUATION_BATCH = {"cpu": 100, "cuda": 1000}
"""Images that are evaluated at once, by type of device."""

AUGMENTED_AT_ONCE = 8192
"""Images, at most, that are changed at once: a whole epoch of a small data set, a part of a large one."""


class Accuracies(NamedTuple):
    """Accuracies of one trained network, in percent.

    Attributes:
        valid: on the validation images.
        test: on the test images; nothing that searches, trains or selects may see it.
    """

    valid: float
    test: float


def train(
    build: Callable[[], nn.Module], recipe: Recipe, task: ImageTask, seeds: Sequence[int]
) -> list[Accuracies]:
    """Trains the network that `build` makes once for each of `seeds`, all in one pass, and measures each.

    The trainings are independent: a seed sets a network's first weights, order of images and augmentation, and its
    result is that of a training alone up to rounding. Neither reads nor changes torch's global generator.

    Args:
        build: makes the network, of one linear layer and otherwise what `side_by_side` allows, for `[B, C, H, W]`.
        recipe: how to train.
        task: the images to train and measure on.
        seeds: one training for each.

    Returns:
        One pair of accuracies in percent for each seed, in their order.

    Raises:
        UserError: where the training images do not fill one batch.
    """
    steps = recipe.epochs * steps_per_epoch(recipe, task)
    network = side_by_side([initialised(build, seed) for seed in seeds])
    generators = [data_generator(seed) for seed in seeds]
    optimizer = recipe.optimizer(network)
    scheduler = recipe.scheduler(optimizer, steps)
    for _ in range(recipe.epochs):
        of_each = [
            training_batches(task, task.splits.train, recipe.batch_size, generator)
            for generator in generators
        ]
        for batches in zip(*of_each, strict=True):
            images = torch.cat([batch.images for batch in batches], dim=1)
            labels = torch.stack([batch.labels for batch in batches], dim=1)
            logits = network(images.contiguous(memory_format=torch.channels_last))
            # The mean over the images and the sum over the networks: each gets the gradient of its own mean loss.
            loss = len(seeds) * recipe.loss(logits.flatten(0, 1), labels.flatten())
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            if recipe.gradient_clip is not None:
                _clip_each(network, len(seeds), recipe.gradient_clip)
            optimizer.step()
            scheduler.step()
    valid = accuracies(network, evaluation_batches(task, "valid"), len(seeds))
    test = accuracies(network, evaluation_batches(task, "test"), len(seeds))
    return [Accuracies(v, t) for v, t in zip(valid, test, strict=True)]


def steps_per_epoch(recipe: Recipe, task: ImageTask) -> int:
    """Batches of one epoch. Raises `UserError` where the training images do not fill one."""
    count = len(task.splits.train.labels)
    if count < recipe.batch_size:
        raise UserError(
            f"recipe: {count} training images do not fill a batch of {recipe.batch_size}; "
            "choose a smaller batch_size"
        )
    return count // recipe.batch_size


def initialised(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """The network of `build` with first weights that depend on `seed` alone; torch's global generator is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "training", "weights"))
        return build()


def data_generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Draws the order of the training images and their augmentation, from the first epoch of a training to its last."""
    return torch.Generator(device).manual_seed(derive_seed(seed, "training", "data"))


def training_batches(
    task: ImageTask, images: ImagePart, batch_size: int, generator: torch.Generator
) -> Iterator[Images]:
    """One epoch: every image once, in random order and augmented, but for those that do not fill the last batch.

    Args:
        task: knows how to augment.
        images: its training images; where they are in memory, on the device of `generator`.
        batch_size: images of a batch.
        generator: see `data_generator`.

    Yields:
        `images` `[batch_size, C, H, W]` float32 and `labels` `[batch_size]`.
    """
    device = generator.device
    order = torch.randperm(len(images.labels), generator=generator, device=device)
    at_once, crops = max(AUGMENTED_AT_ONCE // batch_size, 1) * batch_size, None
    if isinstance(images, ImageFiles):
        at_once, crops = batch_size, int(torch.randint(2**62, (), generator=generator, device=device))
    for part in images.batches(torch.split(order, at_once), crops):
        augmented, labels = task.augmented(part.images.to(device), generator), part.labels.to(device)
        for start in range(0, len(labels) - batch_size + 1, batch_size):
            batch = slice(start, start + batch_size)
            yield Images(augmented[batch], labels[batch])


def evaluation_batches(
    task: ImageTask, part: Literal["valid", "test"], device: torch.device | str = "cpu"
) -> Iterator[Images]:
    """The images of `part` to measure on, on `device`; test images are for reports only."""
    return task.evaluation_batches(part, EVALUATION_BATCH[torch.device(device).type], device)


def accuracies(network: nn.Module, batches: Iterable[Images], count: int = 1) -> list[float]:
    """Accuracy in percent of each of `count` networks side by side, or of one network; see `right_answers`."""
    correct, seen = right_answers(network, batches, count)
    return (100 * correct / seen).tolist()


@torch.no_grad()
def right_answers(network: nn.Module, batches: Iterable[Images], count: int = 1) -> tuple[Tensor, int]:
    """How many images each of `count` networks side by side, or one network, gets right, and how many there are.

    Args:
        network: it is in evaluation mode meanwhile, and as before afterwards.
        batches: see `evaluation_batches`; on the device of `network`.
        count: networks side by side, see `side_by_side`.

    Returns:
        `[count]`, long, on the device of `network`, and the number of images.
    """
    was_training = network.training
    network.eval()
    like = next(network.parameters())
    correct, seen = torch.zeros(count, dtype=torch.long, device=like.device), 0
    for images, labels in batches:
        inputs = images.to(like.dtype).repeat(1, count, 1, 1).contiguous(memory_format=torch.channels_last)
        logits = network(inputs).reshape(len(labels), count, -1)
        correct += (logits.argmax(-1) == labels[:, None]).sum(0)
        seen += len(labels)
    network.train(was_training)
    return correct, seen


def fingerprint(task: ImageTask) -> dict[str, Any]:
    """What observed accuracies depend on in `task`, as plain values; of the test images it reads nothing."""
    checksum = hashlib.sha256()
    for part in (task.splits.train, task.splits.valid):
        for piece in part.content():
            checksum.update(piece)
    return {
        "name": task.source.name,
        "sha256": checksum.hexdigest(),
        "augmentation": asdict(task.augmentation),
        "evaluation": asdict(task.evaluation),
        "draws": task.draws,
    }


def claim(path: Path, fingerprint: dict[str, Any]) -> None:
    """Notes in `path` what the results in its folder depend on, or checks that it is the same as before.

    Raises:
        UserError: where it is not.
    """
    if not path.exists():
        write_text(path, json.dumps(fingerprint, indent=2) + "\n")
        return
    theirs = json.loads(path.read_text(encoding="utf-8"))
    different = sorted(key for key in fingerprint if fingerprint[key] != theirs.get(key))
    if different:
        raise UserError(
            f"{path.parent} holds results with another {' and '.join(different)}; "
            "choose another folder, or remove this one to start again"
        )


def _clip_each(network: nn.Module, count: int, limit: float) -> None:
    """Scales the gradient of each of `count` networks side by side down to a norm of `limit`, as alone."""
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    squares = torch.stack([gradient.reshape(count, -1).square().sum(1) for gradient in gradients])
    scale = (limit / (squares.sum(0).sqrt() + 1e-6)).clamp(max=1)  # as torch.nn.utils.clip_grad_norm_
    for gradient in gradients:  # the networks' parts follow each other in the first dimension
        gradient.mul_(scale.repeat_interleave(len(gradient) // count).view(-1, *[1] * (gradient.dim() - 1)))
