"""An image data set with its augmentation: what networks are trained and measured on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from acenas.errors import UserError
from acenas.images.augmentation import Augmentation
from acenas.images.base import ImagePart, Images, ImageSource, ImageSplits
from acenas.seeds import torch_generator


@dataclass(frozen=True, eq=False)
class ImageTask:
    """An image data set with its augmentation, for training and for measuring.

    Where every network classifies the images correctly, chance ranks the networks. Measuring on augmented images
    (`evaluation`) makes the task harder: several draws of each image, the same for every network.

    Attributes:
        source: where the images come from.
        augmentation: of training images.
        evaluation: of validation and test images; none by default.
        draws: how often each image is evaluated; more than once makes sense only with `evaluation`.

    Raises:
        UserError: where `draws` is below 1.
    """

    source: ImageSource
    augmentation: Augmentation = Augmentation()  # noqa: RUF009 (frozen)
    evaluation: Augmentation = Augmentation()  # noqa: RUF009 (frozen)
    draws: int = 1

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise UserError(f"images: draws must be at least 1, not {self.draws}")

    @cached_property
    def splits(self) -> ImageSplits:
        """The images; read when they are first asked for."""
        return self.source.load()

    def augmented(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Augments and normalises training images `[B, C, H, W]` uint8 to float32, on their device."""
        return self.augmentation(images, self.splits, generator)

    def evaluation_batches(
        self,
        part: Literal["train", "valid", "test"],
        batch_size: int,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world_size: int = 1,
    ) -> Iterator[Images]:
        """Yields the images of `part` normalised, `draws` times; the same in every call.

        Args:
            part: of the splits.
            batch_size: images of a batch; the last of a draw may be smaller.
            device: to put the batches on.
            rank: of this process: it gets the batches `rank`, `rank + world_size`, ...
            world_size: processes that share the batches.

        Yields:
            `images` `[B, C, H, W]` float32 and `labels` `[B]`.

        Raises:
            UserError: where `evaluation` changes images that are not held in memory.
        """
        everything: ImagePart = getattr(self.splits, part)
        unchanged = self.evaluation == Augmentation()
        generator = torch_generator(0, "evaluation", part)
        batches = torch.split(torch.arange(len(everything.labels)), batch_size)[rank::world_size]
        for _ in range(self.draws):
            shown = everything
            if (
                not unchanged
            ):  # all at once and on the CPU: random numbers independent of batch size and device
                changed = self.evaluation(everything.images, self.splits, generator)
                shown = Images(changed, everything.labels)
            for images, labels in shown.batches(batches):
                images = images.to(device, non_blocking=True)
                yield Images(self.splits.normalise(images) if unchanged else images, labels.to(device))
