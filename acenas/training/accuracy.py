"""The accuracy of networks on images."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from acenas.images import Images


class Accuracies(NamedTuple):
    """Accuracies of one trained network, in percent.

    Attributes:
        valid: on the validation images.
        test: on the test images; nothing that searches, trains or selects may see it.
    """

    valid: float
    test: float


def accuracies(network: nn.Module, batches: Iterable[Images], count: int = 1) -> list[float]:
    """Returns the accuracy in percent of each of `count` networks side by side; arguments as `count_correct`."""
    correct, seen = count_correct(network, batches, count)
    return (100 * correct / seen).tolist()


@torch.no_grad()
def count_correct(network: nn.Module, batches: Iterable[Images], count: int = 1) -> tuple[Tensor, int]:
    """Counts the images that a network classifies correctly, in evaluation mode; the network's mode is restored.

    Args:
        network: one network, or several side by side (`side_by_side`).
        batches: images and labels, on the device of `network`.
        count: number of networks side by side.

    Returns:
        The correct answers of each network, `[count]` long, on the device of `network`, and the number of images.
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
