"""Handwritten digits: real images that come with scikit-learn, so that nothing has to be downloaded."""

from __future__ import annotations

import torch
from typing_extensions import override

from acenas.errors import UserError
from acenas.images.base import Images, ImageSource, ImageSplits
from acenas.seeds import numpy_generator


class Digits(ImageSource):
    """The 1,797 digits of scikit-learn (UCI, Alpaydin and Kaynak 1998), 1 x 8 x 8, in three random parts.

    Args:
        seed: of the division, which has nothing to do with the seeds of trainings.
        valid: images for validation.
        test: images for testing; the rest is for training.

    Raises:
        UserError: where nothing would be left for training.

    >>> splits = Digits().load()
    >>> [len(part.labels) for part in (splits.train, splits.valid, splits.test)]
    [997, 400, 400]
    """

    name = "digits"

    def __init__(self, seed: int = 0, valid: int = 400, test: int = 400) -> None:
        if valid < 1 or test < 1 or valid + test >= 1797:
            raise UserError(f"images: valid={valid} and test={test} leave no training images of 1797 digits")
        self.seed = seed
        self.valid = valid
        self.test = test

    @override
    def load(self) -> ImageSplits:
        from sklearn.datasets import load_digits  # slow, and most runs have no images

        data = load_digits()
        images = torch.tensor(data.images, dtype=torch.float32)[:, None]
        labels = torch.tensor(data.target, dtype=torch.long)
        order = torch.from_numpy(numpy_generator(self.seed, "digits", "split").permutation(len(labels)))
        sizes = [len(labels) - self.valid - self.test, self.valid, self.test]
        train, valid, test = (
            Images(images[part].to(torch.uint8), labels[part]) for part in torch.split(order, sizes)
        )
        return ImageSplits(train, valid, test, 10, (images.mean().item(),), (images.std().item(),))
