"""The final training of one network, on all devices at once."""

import time
from typing import Any, Literal

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from typing_extensions import override

from acenas.images import ImagePart, ImageTask
from acenas.seeds import derive_seed
from acenas.training.batches import count_correct
from acenas.training.lightning import log_epoch
from acenas.training.network import NetworkTraining
from acenas.training.recipe import Recipe


class FinalNetwork(NetworkTraining):
    """Trains one network on all devices and logs every epoch; measures the test accuracy after the last one.

    It logs `train/loss`, `train/train_accuracy`, `train/valid_accuracy` (percent; where it is watched),
    `train/learning_rate` and `train/images_per_second` of all processes.

    Args:
        network: with initial weights, the same in every process.
        task: augments the images, and has those to measure on.
        images: to train on.
        watched: whether the validation accuracy is measured after every epoch.
        recipe: how to train; its batch is one step of all processes together.
        seed: of the order of the images, of their augmentation, and of dropout.
        steps: of an epoch.
        device_batch: images of a batch on a device.
        dropout: part of the inputs of the last linear layer that is set to 0 in training.
        channels_last: memory layout of weights and images.

    Attributes:
        accuracy: after the last epoch, in percent: `valid`, where it is watched, and `test`.
        damaged: names of the files that could not be read by any process, and why.
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
        super().__init__(network, task, recipe, seed, steps=steps, channels_last=channels_last)
        self.images = images
        self.watched = watched
        self.device_batch = device_batch
        self.dropout = dropout
        self.accuracy: dict[str, float] = {}
        self.damaged: dict[str, str] = {}
        self._dropping: RemovableHandle | None = None

    def on_fit_start(self) -> None:
        """Adds dropout before the last linear layer; the network's weights and their names stay as they are."""
        if self.dropout:
            *_, last = (layer for layer in self.network.modules() if isinstance(layer, nn.Linear))
            self._dropping = last.register_forward_pre_hook(
                lambda layer, inputs: F.dropout(inputs[0], self.dropout, layer.training)
            )

    def on_fit_end(self) -> None:
        """Removes the dropout."""
        if self._dropping is not None:
            self._dropping.remove()

    @override
    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        # Dropout differs from process to process.
        torch.manual_seed(derive_seed(self.seed, "training", "network", self.current_epoch, self.global_rank))
        self._start = time.monotonic()

    def on_train_epoch_end(self) -> None:
        """Averages batch normalisation over the processes, then measures and logs."""
        images = self.sums.batches * self.device_batch
        metrics: dict[str, float | Tensor] = {
            "train/loss": self.sums.loss / self.sums.batches,
            "train/train_accuracy": 100 * self.sums.correct / images,
            "train/learning_rate": self.trainer.optimizers[0].param_groups[0]["lr"],
            "train/images_per_second": self.trainer.world_size * images / (time.monotonic() - self._start),
        }
        average_statistics(self.network, self.trainer.world_size)
        parts: list[Literal["valid", "test"]] = ["valid"] if self.watched else []
        if self.current_epoch + 1 == self.recipe.epochs:
            parts.append("test")
        self.accuracy = {part: self._accuracy(part) for part in parts}
        if self.watched:
            metrics["train/valid_accuracy"] = self.accuracy["valid"]
        log_epoch(self, metrics)
        self._gather_damaged()

    def _accuracy(self, part: Literal["valid", "test"]) -> float:
        """Returns the accuracy on all images of `part`, in percent; every process measures a share of the batches."""
        share = self.global_rank, self.trainer.world_size
        batches = self.task.evaluation_batches(part, self.device_batch, self.device, *share)
        correct, seen = count_correct(self.network, batches)
        both = torch.tensor([int(correct), seen], device=self.device)
        if self.trainer.world_size > 1:
            dist.all_reduce(both)
        all_correct, all_seen = both.tolist()
        return float(100 * all_correct / all_seen)

    def _gather_damaged(self) -> None:
        splits = self.task.splits
        mine = {**self.images.damaged, **splits.valid.damaged, **splits.test.damaged}
        everyone: list[Any] = [mine] * self.trainer.world_size
        if self.trainer.world_size > 1:
            dist.all_gather_object(everyone, mine)
        for damaged in everyone:
            self.damaged |= damaged

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the accuracy and the damaged files."""
        checkpoint["accuracy"] = self.accuracy
        checkpoint["damaged"] = self.damaged

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores what `on_save_checkpoint` added."""
        self.accuracy = checkpoint["accuracy"]
        self.damaged = checkpoint["damaged"]


def average_statistics(network: nn.Module, world_size: int) -> None:
    """Averages every running mean and variance over all processes, as each has seen a part of the images."""
    if world_size == 1:
        return
    statistics = [
        buffer for name, buffer in network.named_buffers() if name.endswith(("running_mean", "running_var"))
    ]
    if not statistics:
        return
    message = torch.cat(statistics)
    dist.all_reduce(message)
    parts = torch.split(message / world_size, [len(buffer) for buffer in statistics])
    torch._foreach_copy_(statistics, list(parts))
