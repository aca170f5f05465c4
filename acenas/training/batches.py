"""Batches of the images that a network is trained and evaluated on, and its accuracy on them."""

from collections.abc import Iterable, Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from acenas.errors import UserError
from acenas.images import ImageFiles, Images, ImageTask
from acenas.seeds import derive_seed

EVALUATION_BATCH = {"cpu": 100, "cuda": 1000}
"""Images of an evaluation batch, by type of device."""

AUGMENTED_AT_ONCE = 8192
"""Images, at most, that are augmented at once: a whole epoch of a small data set, a part of a large one."""


class TrainingBatches:
    """The training images of one training on one device: each iteration is an epoch, shuffled and augmented.

    Every image comes once in an epoch, except for those that do not fill the last batch. One generator draws the order
    of the images and their augmentation over all epochs, so that its state is the state of the whole.

    Args:
        task: training images and their augmentation.
        batch_size: images of a batch.
        seed: of the training.
        device: where the batches are needed. Images in memory move there once.

    Attributes:
        generator: the generator; a checkpoint must save its state.

    Raises:
        UserError: where the training images do not fill one batch.
    """

    def __init__(
        self, task: ImageTask, batch_size: int, seed: int, device: torch.device | str = "cpu"
    ) -> None:
        self.task = task
        self.batch_size = batch_size
        self.count = batches_per_epoch(task, batch_size)
        self.images = task.splits.train.to(torch.device(device))
        self.generator = torch.Generator(device).manual_seed(derive_seed(seed, "training", "data"))

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Images]:
        """Yields `images` `[batch_size, C, H, W]` float32 and `labels` `[batch_size]`."""
        images, size, generator, device = self.images, self.batch_size, self.generator, self.generator.device
        order = torch.randperm(len(images.labels), generator=generator, device=device)
        at_once, crops = max(AUGMENTED_AT_ONCE // size, 1) * size, None
        if isinstance(images, ImageFiles):
            at_once, crops = size, int(torch.randint(2**62, (), generator=generator, device=device))
        for part in images.batches(torch.split(order, at_once), crops):
            augmented, labels = self.task.augmented(part.images.to(device), generator), part.labels.to(device)
            for start in range(0, len(labels) - size + 1, size):
                batch = slice(start, start + size)
                yield Images(augmented[batch], labels[batch])


def batches_per_epoch(task: ImageTask, batch_size: int) -> int:
    """Returns the number of training batches. Raises `UserError` where the training images do not fill one."""
    count = len(task.splits.train.labels)
    if count < batch_size:
        raise UserError(
            f"recipe: {count} training images do not fill a batch of {batch_size}; choose a smaller batch_size"
        )
    return count // batch_size


def evaluation_batches(
    task: ImageTask, part: Literal["valid", "test"], device: torch.device | str = "cpu"
) -> Iterator[Images]:
    """Returns the batches of `part` to evaluate on, on `device`; test images are for reports only."""
    return task.evaluation_batches(part, EVALUATION_BATCH[torch.device(device).type], device)


def accuracies(network: nn.Module, batches: Iterable[Images], count: int = 1) -> list[float]:
    """Returns the accuracy in percent of each of `count` networks side by side; arguments as `count_correct`."""
    correct, seen = count_correct(network, batches, count)
    return (100 * correct / seen).tolist()


@torch.no_grad()
def count_correct(network: nn.Module, batches: Iterable[Images], count: int = 1) -> tuple[Tensor, int]:
    """Returns the number of images that a network classifies correctly in evaluation mode, and of all images.

    `network` may be `count` networks side by side (`side_by_side`); the first result is `[count]`, long, on its device,
    where the batches are, too. Keeps the network's mode.
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
