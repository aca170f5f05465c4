"""Batches of images for Lightning: cut by tensor indexing, changed on the device."""

from __future__ import annotations

from collections.abc import Iterator

import pytorch_lightning as pl
import torch
from torch import Tensor

from acenas.errors import UserError
from acenas.images.base import ImagePart, Images
from acenas.images.task import ImageTask
from acenas.seeds import derive_seed, torch_generator


class ImageBatches:
    """The batches of one epoch for one of several processes; together they see every image once.

    Args:
        images: N images.
        batch_size: images of a batch of one process.
        generator: orders the images; the same in every process.
        rank: number of this process.
        world_size: number of processes.
        accumulate: batches of a step, of each process; what fills no step of all processes is left out.
        crops: seed of random crops, where the images are cropped as they are read.
    """

    def __init__(
        self,
        images: ImagePart,
        batch_size: int,
        generator: torch.Generator,
        rank: int = 0,
        world_size: int = 1,
        accumulate: int = 1,
        crops: int = 0,
    ) -> None:
        self.images = images
        self.batch_size = batch_size
        self.order = torch.randperm(len(images.labels), generator=generator).to(images.labels.device)
        self.rank = rank
        self.world_size = world_size
        self.accumulate = accumulate
        self.crops = crops

    def __len__(self) -> int:
        steps = len(self.images.labels) // (self.batch_size * self.world_size * self.accumulate)
        return steps * self.accumulate

    def __iter__(self) -> Iterator[Images]:
        batches = torch.split(self.order, self.batch_size)[: len(self) * self.world_size]
        return self.images.batches(batches[self.rank :: self.world_size], self.crops)


class ImageData(pl.LightningDataModule):
    """Training images in batches. The order of an epoch and its augmentation depend on (seed, epoch, rank) alone.

    Images in memory stay on the device; all are augmented there. The trainer must ask for the loader anew in every
    epoch (`reload_dataloaders_every_n_epochs=1`) and leave the division among processes to this class
    (`use_distributed_sampler=False`).

    Args:
        task: images and augmentation.
        batch_size: images of a batch, in each process.
        seed: of the training.
        images: to train on; None for the training images of `task`.
        accumulate: see `ImageBatches`.
    """

    def __init__(
        self,
        task: ImageTask,
        batch_size: int,
        seed: int,
        images: ImagePart | None = None,
        accumulate: int = 1,
    ) -> None:
        super().__init__()
        self.task = task
        self.batch_size = batch_size
        self.seed = seed
        self.accumulate = accumulate
        self._images = images
        self._resident: ImagePart | None = None
        self._augmentation: torch.Generator | None = None

    def train_dataloader(self) -> ImageBatches:
        """Returns the batches of the current epoch. Raises `UserError` where the images do not fill one."""
        trainer = self.trainer
        assert trainer is not None
        device, rank, epoch = trainer.strategy.root_device, trainer.global_rank, trainer.current_epoch
        if self._resident is None or self._resident.labels.device != device:
            self._resident = (self.task.splits.train if self._images is None else self._images).to(device)
        self._augmentation = torch.Generator(device)
        self._augmentation.manual_seed(derive_seed(self.seed, "images", "augmentation", epoch, rank))
        batches = ImageBatches(
            self._resident,
            self.batch_size,
            torch_generator(self.seed, "images", "order", epoch),
            rank,
            trainer.world_size,
            self.accumulate,
            derive_seed(self.seed, "images", "crops", epoch),
        )
        if not len(batches):
            raise UserError(
                f"{len(self._resident.labels)} training images do not fill {trainer.world_size * self.accumulate} "
                f"batches of {self.batch_size}; choose a smaller batch_size"
            )
        return batches

    def on_after_batch_transfer(self, batch: Images, dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """Augments and normalises a batch on its device."""
        assert self._augmentation is not None
        return self.task.augmented(batch.images, self._augmentation), batch.labels
