"""A network learns from all devices at once: large steps of many batches, one accuracy of all processes."""

from __future__ import annotations

import time
from typing import Any, Literal

import pytorch_lightning as pl
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from acenas.images import ImagePart, ImageTask
from acenas.seeds import derive_seed
from acenas.training.common import right_answers
from acenas.training.recipe import Recipe


class FinalNetwork(pl.LightningModule):
    """Trains one network, and tells of every epoch; test images are looked at after the last one.

    It logs `train/loss`, `train/train_accuracy`, `train/valid_accuracy` (percent; where there are validation images
    left), `train/learning_rate` and `train/images_per_second` of all processes.

    Args:
        network: with fresh weights, the same in every process.
        task: augments the images, and has those to measure on.
        images: to learn from.
        watched: whether the validation images are measured after every epoch.
        recipe: how to train; its batch is one step of all processes together.
        seed: of the order of the images, of their augmentation, and of dropout.
        steps: of an epoch.
        device_batch: images at once on a device, to train and to measure.
        dropout: part of the inputs of the last linear layer that is set to 0 while training.
        channels_last: the memory layout of weights and images.

    Attributes:
        accuracy: after the last epoch, in percent: `valid`, where there are validation images left, and `test`.
        damaged: names of the files that could not be read, by any process, and why.
    """

    def __init__(
        self,
        network: nn.Module,
        task: ImageTask,
        images: ImagePart,
        watched: bool,
        recipe: Recipe,
        seed: int,
        *,
        steps: int,
        device_batch: int,
        dropout: float = 0.0,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.network = network.to(memory_format=self.memory_format)  # type: ignore[call-overload]
        self.task = task
        self.images = images
        self.watched = watched
        self.recipe = recipe
        self.seed = seed
        self.steps = steps
        self.device_batch = device_batch
        self.dropout = dropout
        self.accuracy: dict[str, float] = {}
        self.damaged: dict[str, str] = {}
        self._dropping: RemovableHandle | None = None

    def configure_optimizers(self) -> Any:
        """The recipe's, and its schedule step by step."""
        optimizer = self.recipe.optimizer(self.network)
        scheduler = self.recipe.scheduler(optimizer, self.recipe.epochs * self.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_fit_start(self) -> None:
        """Puts dropout before the last linear layer, without a change to the network's weights or their names."""
        if self.dropout:
            *_, last = (layer for layer in self.network.modules() if isinstance(layer, nn.Linear))
            self._dropping = last.register_forward_pre_hook(
                lambda layer, inputs: F.dropout(inputs[0], self.dropout, layer.training)
            )

    def on_fit_end(self) -> None:
        """Takes dropout away."""
        if self._dropping is not None:
            self._dropping.remove()

    def on_train_epoch_start(self) -> None:
        """What the network draws in an epoch is the same in a resumed training; starts the sums of the metrics."""
        torch.manual_seed(derive_seed(self.seed, "training", "network", self.current_epoch, self.global_rank))
        self._loss = torch.zeros((), device=self.device)
        self._correct = torch.zeros((), device=self.device)
        self._count = 0
        self._start = time.monotonic()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """The loss of a batch; sums what the epoch's metrics are made of, without waiting for the device."""
        images, labels = batch
        logits = self.network(images.to(next(self.parameters()).dtype, memory_format=self.memory_format))
        loss = self.recipe.loss(logits, labels)
        self._loss += loss.detach()
        self._correct += (logits.detach().argmax(1) == labels).sum()
        self._count += 1
        return loss

    def on_train_epoch_end(self) -> None:
        """Averages batch normalisation over the processes, then measures and logs."""
        images = self._count * self.device_batch
        (rate, *_) = {group["lr"] for group in self.trainer.optimizers[0].param_groups}
        metrics = {
            "loss": self._loss / self._count,
            "train_accuracy": 100 * self._correct / images,
            "learning_rate": torch.tensor(rate, device=self.device),
            "images_per_second": torch.tensor(
                self.trainer.world_size * images / (time.monotonic() - self._start), device=self.device
            ),
        }
        average_statistics(self.network, self.trainer.world_size)
        parts: list[Literal["valid", "test"]] = ["valid"] if self.watched else []
        if self.current_epoch + 1 == self.recipe.epochs:
            parts.append("test")
        self.accuracy = {part: self._accuracy(part) for part in parts}
        if self.watched:
            metrics["valid_accuracy"] = torch.tensor(self.accuracy["valid"], device=self.device)
        for name, value in metrics.items():
            self.log(f"train/{name}", value.float(), sync_dist=True)
        self._gather_damaged()

    def _accuracy(self, part: Literal["valid", "test"]) -> float:
        """In percent, of all images of `part`; every process measures a share of the batches."""
        rank, world_size = self.global_rank, self.trainer.world_size
        correct, seen = right_answers(
            self.network,
            self.task.evaluation_batches(part, self.device_batch, self.device, rank, world_size),
        )
        both = torch.tensor([correct.item(), seen], device=self.device)
        if world_size > 1:
            dist.all_reduce(both)
        all_correct, all_seen = both.tolist()
        return float(100 * all_correct / all_seen)

    def _gather_damaged(self) -> None:
        splits = self.task.splits
        mine = {**self.images.damaged, **splits.valid.damaged, **splits.test.damaged}
        everyone: list[dict[str, str] | None] = [mine]
        if self.trainer.world_size > 1:
            everyone = [None] * self.trainer.world_size
            dist.all_gather_object(everyone, mine)
        for damaged in everyone:
            self.damaged |= damaged or {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what Lightning does not know of."""
        checkpoint["accuracy"] = self.accuracy
        checkpoint["damaged"] = self.damaged

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Goes on where `on_save_checkpoint` was."""
        self.accuracy = checkpoint["accuracy"]
        self.damaged = checkpoint["damaged"]


def average_statistics(network: nn.Module, world_size: int) -> None:
    """Every running mean and variance becomes its mean over all processes: each has seen a part of the images."""
    if world_size == 1:
        return
    statistics = [
        buffer
        for layer in network.modules()
        if isinstance(layer, nn.BatchNorm2d)
        for buffer in (layer.running_mean, layer.running_var)
        if buffer is not None
    ]
    if not statistics:
        return
    message = torch.cat(statistics)
    dist.all_reduce(message)
    parts = torch.split(message / world_size, [len(buffer) for buffer in statistics])
    torch._foreach_copy_(statistics, list(parts))
