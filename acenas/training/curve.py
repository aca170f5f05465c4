"""The training of one network on one device, with its learning curve: what a search observes."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from acenas.errors import UserError
from acenas.files import write_text
from acenas.images import ImageFiles, Images, ImageTask
from acenas.training.batches import TrainingBatches, accuracies, evaluation_batches
from acenas.training.network import NetworkTraining
from acenas.training.recipe import Recipe


class CurveTraining(NetworkTraining):
    """Trains one network and writes a row of its learning curve after each epoch. Never reads a test image.

    The validation accuracy is measured on the first draw of the validation images; after the last epoch on all draws,
    which gives the observed accuracy. It is measured in float32 whatever the precision of the training.

    Args:
        network: with initial weights.
        task: the images.
        recipe: how to train.
        seed: of the order of the images, of their augmentation, and of dropout.
        device: to train on.
        path: the CSV file of the curve; a kill leaves it whole.
        channels_last: memory layout of weights and images.
        goes_on: is asked after each epoch, with all epochs and their validation accuracies in percent; the training
            ends with a checkpoint where it says no.

    Attributes:
        batches: the training images.
        curve: a row for each epoch.
        seconds: of training, over all processes that worked on it.
        stopped: whether it has ended early.
    """

    def __init__(
        self,
        network: nn.Module,
        task: ImageTask,
        recipe: Recipe,
        seed: int,
        device: torch.device,
        path: Path,
        channels_last: bool,
        goes_on: Callable[[Sequence[tuple[float, float]]], bool],
    ) -> None:
        self.batches = TrainingBatches(task, recipe.batch_size, seed, device)
        super().__init__(network, task, recipe, seed, steps=len(self.batches), channels_last=channels_last)
        self.path = path
        self.curve: list[dict[str, float]] = []
        self.seconds = 0.0
        self.stopped = False
        self._goes_on = goes_on
        self._clock = time.monotonic()
        self._first_draw: list[Images] = []

    def on_train_epoch_end(self) -> None:
        """Adds a row to the curve. Raises `UserError` where the training diverged."""
        last = self.current_epoch + 1 == self.recipe.epochs
        accuracy = self._valid_accuracy(all_draws=last)
        now = time.monotonic()
        self.seconds, self._clock = self.seconds + now - self._clock, now
        schedule = self.recipe.schedule(self.global_step - 1, self.steps * self.recipe.epochs)
        self.curve.append(
            {
                "epoch": self.current_epoch + 1,
                "learning_rate": self.recipe.learning_rate * schedule,
                "train_loss": self.sums.loss.item() / self.steps,
                "train_accuracy": 100 * self.sums.correct.item() / (self.steps * self.recipe.batch_size),
                "valid_accuracy": accuracy,
                "seconds": self.seconds,
            }
        )
        lines = [list(self.curve[0]), *([str(value) for value in row.values()] for row in self.curve)]
        write_text(self.path, "".join(",".join(line) + "\n" for line in lines))
        self._check_divergence()
        self.stopped = not self._goes_on([(row["epoch"], row["valid_accuracy"]) for row in self.curve])
        self.trainer.should_stop = self.stopped

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the curve, the seconds and the state of the generator."""
        checkpoint["curve"] = self.curve
        checkpoint["seconds"] = self.seconds
        checkpoint["data_generator"] = self.batches.generator.get_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores what `on_save_checkpoint` added."""
        self.curve = checkpoint["curve"]
        self.seconds = checkpoint["seconds"]
        self.batches.generator.set_state(checkpoint["data_generator"].cpu())

    def _check_divergence(self) -> None:
        """Raises `UserError` where the loss is not finite, or loss and accuracy are at chance level in the end.

        A small network may have learned little after a few epochs, so the accuracy alone says too little. The mean loss
        of a single epoch includes its first steps.
        """
        loss, accuracy = self.curve[-1]["train_loss"], self.curve[-1]["valid_accuracy"]
        epochs, classes = self.recipe.epochs, self.task.splits.num_classes
        if not math.isfinite(loss):
            raise UserError(f"diverged: the training loss of epoch {len(self.curve)} is {loss}")
        at_chance = math.log(classes) * (0.995 if epochs > 1 else 1.5)
        if len(self.curve) == epochs and loss >= at_chance and accuracy <= 1.25 * 100 / classes:
            raise UserError(
                f"diverged: a training loss of {loss:.3g} and an accuracy of {accuracy:.1f} % are at chance level"
            )

    def _valid_accuracy(self, all_draws: bool) -> float:
        if all_draws or isinstance(self.batches.images, ImageFiles):
            return accuracies(self.network, evaluation_batches(self.task, "valid", self.device))[0]
        if not self._first_draw:
            batches = list(evaluation_batches(self.task, "valid", self.device))
            self._first_draw = batches[: len(batches) // self.task.draws]
        return accuracies(self.network, self._first_draw)[0]
