"""Handwritten digits: real images that come with scikit-learn, so that nothing has to be downloaded."""

from typing import NamedTuple

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from acenas.seeds import numpy_generator

NUM_CLASSES = 10


class Images(NamedTuple):
    """Images and their classes.

    Attributes:
        images: `[N, 1, 8, 8]`, float32, mean 0 and standard deviation 1 over all pixels of the data set.
        labels: `[N]`, long, 0 to 9.
    """

    images: Tensor
    labels: Tensor


class DigitSplits(NamedTuple):
    """Three parts without a common image: networks learn from `train`, a search sees `valid`, a report `test`."""

    train: Images
    valid: Images
    test: Images


def load_digit_splits(seed: int = 0, *, valid: int = 400, test: int = 400) -> DigitSplits:
    """The 1,797 digits of scikit-learn (UCI, Alpaydin and Kaynak 1998) in three random parts.

    Args:
        seed: of the division, which has nothing to do with the seeds of trainings.
        valid: images for validation.
        test: images for testing; the rest is for training.

    Raises:
        ValueError: where nothing would be left for training.

    >>> [len(part.labels) for part in load_digit_splits()]
    [997, 400, 400]
    """
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32)[:, None]
    images = (images - images.mean()) / images.std()
    labels = torch.tensor(data.target, dtype=torch.long)
    if valid < 1 or test < 1 or valid + test >= len(labels):
        raise ValueError(f"valid={valid} and test={test} leave no training images of {len(labels)}")
    order = torch.from_numpy(numpy_generator(seed, "digits", "split").permutation(len(labels)))
    parts = torch.split(order, [len(labels) - valid - test, valid, test])
    return DigitSplits(*(Images(images[part], labels[part]) for part in parts))
