"""The training of one network by Lightning, for the trainings of a search and the final training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from acenas.files import read_state, reading
from acenas.images import ImageTask
from acenas.seeds import derive_seed, seeded
from acenas.training.recipe import Recipe

Network = TypeVar("Network", bound=nn.Module)


def initialised(build: Callable[[], Network], seed: int, stage: str = "training") -> Network:
    """Returns the network of `build`; its weights depend on (seed, stage). Keeps torch's global generator."""
    with seeded(seed, stage, "weights"):
        return build()


def load_weights(network: nn.Module, path: Path, whose: str) -> None:
    """Loads the weights of a file, or of a checkpoint of Lightning. Raises `UserError` where they are not `whose`."""
    remedy = f"remove its folder to train {whose} again"
    state = read_state(path, remedy)
    with reading(path, remedy):
        if "state_dict" in state:  # a checkpoint of a whole module
            state = {name.removeprefix("network."): tensor for name, tensor in state["state_dict"].items()}
        network.load_state_dict(state)


class EpochSums:
    """Sums over the batches of an epoch, on the device, so that no step waits for it.

    Attributes:
        loss: of the mean losses.
        correct: of the correctly classified images.
        batches: of the batches.
    """

    def __init__(self, device: torch.device) -> None:
        self.loss, self.correct = torch.zeros(2, device=device)
        self.batches = 0

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Adds a batch: its mean loss, logits `[B, K]` and labels `[B]`."""
        self.loss += loss.detach()
        self.correct += (logits.detach().argmax(1) == labels).sum()
        self.batches += 1


class NetworkTraining(pl.LightningModule):
    """Trains one network by a recipe; subclasses measure it after each epoch.

    Args:
        network: with initial weights; is trained in place.
        task: the images.
        recipe: how to train.
        seed: of the training.
        steps: of an epoch.
        channels_last: memory layout of weights and images.

    Attributes:
        sums: of the current epoch.
    """

    def __init__(
        self,
        network: nn.Module,
        task: ImageTask,
        recipe: Recipe,
        seed: int,
        *,
        steps: int,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.network = network.to(memory_format=self.memory_format)  # type: ignore[call-overload]
        self.task = task
        self.recipe = recipe
        self.seed = seed
        self.steps = steps

    def configure_optimizers(self) -> Any:
        """Returns the optimizer of the recipe, and its schedule step by step."""
        optimizer = self.recipe.optimizer(self.network)
        scheduler = self.recipe.scheduler(optimizer, self.recipe.epochs * self.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_train_epoch_start(self) -> None:
        """Starts the sums. Seeds dropout and the like, so that a resumed training repeats them."""
        torch.manual_seed(derive_seed(self.seed, "training", "network", self.current_epoch))
        self.sums = EpochSums(self.device)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Returns the loss of a batch: images `[B, C, H, W]` and labels `[B]`."""
        images, labels = batch
        dtype = next(self.parameters()).dtype
        logits = self.network(images.to(dtype).contiguous(memory_format=self.memory_format))
        loss = self.recipe.loss(logits, labels)
        self.sums.add(loss, logits, labels)
        return loss
