"""Batches of images for Lightning: cut by tensor indexing, changed on the device."""

from __future__ import annotations

from collections.abc import Iterator

import pytorch_lightning as pl
import torch
from torch import Tensor

from acenas.errors import UserError
from acenas.images.base import Images
from acenas.images.task import ImageTask
from acenas.seeds import derive_seed, torch_generator


class ImageBatches:
    """The batches of one epoch for one of several processes; together they see every image once.

    Args:
        images: N images.
        batch_size: images of a batch of one process; what fills no batch of all processes is left out.
        generator: orders the images; the same in every process.
        rank: number of this process.
        world_size: number of processes.
    """

    def __init__(
        self, images: Images, batch_size: int, generator: torch.Generator, rank: int = 0, world_size: int = 1
    ) -> None:
        self.images = images
        self.batch_size = batch_size
        self.generator = generator
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        return len(self.images.labels) // (self.batch_size * self.world_size)

    def __iter__(self) -> Iterator[Images]:
        images, labels = self.images
        order = torch.randperm(len(labels), generator=self.generator).to(labels.device)
        for step in range(len(self)):
            start = (step * self.world_size + self.rank) * self.batch_size
            batch = order[start : start + self.batch_size]
            yield Images(images[batch], labels[batch])


class ImageData(pl.LightningDataModule):
    """Training images in batches. The order of an epoch and its augmentation are functions of (seed, epoch, rank).

    The images lie on the device from the start, and are changed there. The trainer must ask for the loader anew in
    every epoch (`reload_dataloaders_every_n_epochs=1`) and leave the division among processes to this class
    (`use_distributed_sampler=False`).

    Args:
        task: images and augmentation.
        batch_size: images of a step, in each process.
        seed: of the training.
    """

    def __init__(self, task: ImageTask, batch_size: int, seed: int) -> None:
        super().__init__()
        self.task = task
        self.batch_size = batch_size
        self.seed = seed
        self._resident: Images | None = None
        self._augmentation: torch.Generator | None = None

    def train_dataloader(self) -> ImageBatches:
        """The batches of the trainer's current epoch.

        Raises:
            UserError: where the images do not fill one batch.
        """
        trainer = self.trainer
        assert trainer is not None
        device, rank, epoch = trainer.strategy.root_device, trainer.global_rank, trainer.current_epoch
        if self._resident is None or self._resident.labels.device != device:
            self._resident = Images(*(tensor.to(device) for tensor in self.task.splits.train))
        self._augmentation = torch.Generator(device)
        self._augmentation.manual_seed(derive_seed(self.seed, "images", "augmentation", epoch, rank))
        batches = ImageBatches(
            self._resident,
            self.batch_size,
            torch_generator(self.seed, "images", "order", epoch),
            rank,
            trainer.world_size,
        )
        if not len(batches):
            raise UserError(
                f"{len(self._resident.labels)} training images do not fill {trainer.world_size} batches of "
                f"{self.batch_size}; choose a smaller batch_size"
            )
        return batches

    def on_after_batch_transfer(self, batch: Images, dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """Augments and normalises a batch on its device."""
        assert self._augmentation is not None
        return self.task.augmented(batch.images, self._augmentation), batch.labels
