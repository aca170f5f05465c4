"""The stage `final`: trains a found network on one device or many, and resumes where it was killed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.environments import ClusterEnvironment  # type: ignore[attr-defined]
from pytorch_lightning.strategies import DDPStrategy

from acenas.errors import UserError, require_at_least, require_one_of
from acenas.images import ImageData, ImageTask
from acenas.spaces.base import SearchSpace
from acenas.training.final.module import FinalNetwork
from acenas.training.final.network import FACTS, NetworkFacts, TrainedNetwork
from acenas.training.lightning import fit
from acenas.training.network import initialised
from acenas.training.processes import Hardware, processes
from acenas.training.recipe import Recipe

LearnFrom = Literal["train", "train_and_valid"]
"""The images to train on: the training images alone, or the validation images too."""


@dataclass(frozen=True, eq=False)
class FinalTraining:
    """Trains a found network to its full accuracy.

    A step has `recipe.batch_size` images of all processes together. Where they do not fit on the devices at once, their
    gradients are accumulated over several batches. On one machine the weights are a function of the attributes, whether
    or not the training was killed and resumed.

    Attributes:
        space: builds the network.
        arch: its canonical form is trained.
        task: images and their augmentation.
        recipe: how to train.
        hardware: to train on.
        seed: of initial weights, order of images, augmentation and dropout.
        device_batch: images of a batch on a device; batch normalisation uses the statistics of such a batch.
        dropout: part of the inputs of the last linear layer that is set to 0 in training.
        learn_from: `train`, with the validation accuracy after each epoch, or `train_and_valid`.
        channels_last: memory layout; faster on GPUs in bfloat16.

    Raises:
        UserError: where a value makes no sense, or a step does not divide into batches.
    """

    space: SearchSpace
    arch: str
    task: ImageTask
    recipe: Recipe
    hardware: Hardware = Hardware()  # noqa: RUF009 (frozen)
    seed: int = 0
    device_batch: int = 256
    dropout: float = 0.0
    learn_from: LearnFrom = "train"
    channels_last: bool = False

    def __post_init__(self) -> None:
        self.space.validate(self.arch)
        require_at_least(1, "final: ", device_batch=self.device_batch)
        if not 0 <= self.dropout < 1:
            raise UserError(f"final: dropout lies between 0 and below 1, not at {self.dropout}")
        require_one_of("final: learn_from", self.learn_from, ("train", "train_and_valid"))
        size, processes = self.recipe.batch_size, self.hardware.world_size
        if size % (self.device_batch * processes):
            fitting = [n for n in range(1, self.device_batch + 1) if size % (n * processes) == 0]
            raise UserError(
                f"final: a step of {size} images does not divide into batches of {processes} processes x "
                f"{self.device_batch} images; choose another device_batch, such as {max(fitting, default=1)}, or "
                "recipe.batch_size"
            )

    @property
    def accumulate(self) -> int:
        """Batches of a step in each process."""
        return self.recipe.batch_size // (self.device_batch * self.hardware.world_size)

    @property
    def image_count(self) -> int:
        """Images to train on."""
        splits = self.task.splits
        return len(splits.train.labels) + (0 if self.learn_from == "train" else len(splits.valid.labels))

    def run(
        self, folder: str | Path, callbacks: Sequence[pl.Callback] = (), loggers: Sequence[Logger] = ()
    ) -> TrainedNetwork:
        """Trains the network unless `folder` holds it; called again after a kill, resumes after the last whole epoch.

        The first process writes `training.ckpt` after each epoch, and in the end `network.pt` and `network.json`.
        `FinalNetwork` lists what is logged.

        Args:
            folder: of this training alone.
            callbacks: of Lightning, in the first process.
            loggers: of Lightning, in the first process.

        Returns:
            The trained network, in every process that a launcher has started.

        Raises:
            UserError: where the images do not fill a step, the hardware is not there, or `folder` holds another
                network.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / FACTS).exists():
            return TrainedNetwork.load(folder, self.space)
        if self.image_count < self.recipe.batch_size:
            raise UserError(
                f"final: {self.image_count} training images do not fill a step of {self.recipe.batch_size}; choose a "
                "smaller recipe.batch_size"
            )
        facts = self.facts  # before the training, as it raises where something is wrong with the images
        with processes(self.hardware, _fit, self, folder) as environment:
            module = _fit(environment, self, folder, callbacks, loggers)
            facts = replace(facts, accuracy=module.accuracy, damaged=module.damaged)
            trained = TrainedNetwork(module.network.eval(), facts)
            if environment is None or environment.global_rank() == 0:
                trained.save(folder)
        return trained

    @property
    def facts(self) -> NetworkFacts:
        """The facts that are known before the training."""
        canonical = self.space.canonical(self.arch)
        return NetworkFacts.of(self.space, canonical, self.task, self.description, self.seed)

    @property
    def description(self) -> str:
        """The training in words, without the seed."""
        dropout = f", dropout {self.dropout}" if self.dropout else ""
        return (
            f"{self.recipe.epochs} epochs on {self.image_count} images of {self.task.source.name} ({self.learn_from}) "
            f"with {self.recipe}, {self.task.augmentation}{dropout}, {self.device_batch} images at once on a device, "
            f"{self.hardware.precision}"
        )


def _fit(
    environment: ClusterEnvironment | None,
    training: FinalTraining,
    folder: Path,
    callbacks: Sequence[pl.Callback] = (),
    loggers: Sequence[Logger] = (),
) -> FinalNetwork:
    """Trains the network as one of the processes."""
    hardware, task, recipe = training.hardware, training.task, training.recipe
    arch = training.space.canonical(training.arch)
    network = initialised(lambda: training.space.build(arch, task.splits.num_classes), training.seed)
    alone = training.learn_from == "train"
    images = task.splits.train if alone else task.splits.train.joined(task.splits.valid)
    steps = training.image_count // recipe.batch_size
    module = FinalNetwork(
        network.to(hardware.dtype),  # Lightning loads a checkpoint before it changes the type of the weights
        task,
        images,
        alone,
        recipe,
        training.seed,
        steps=steps,
        device_batch=training.device_batch,
        dropout=training.dropout,
        channels_last=training.channels_last,
    )
    trainer_options: dict[str, Any] = {"log_every_n_steps": steps}  # nothing is logged within an epoch
    if environment is not None:
        # Running averages are averaged over processes after an epoch; sending those of the first would undo it.
        trainer_options["strategy"] = DDPStrategy(
            cluster_environment=environment, process_group_backend=hardware.backend, broadcast_buffers=False
        )
    fit(
        module,
        ImageData(task, training.device_batch, training.seed, images, training.accumulate),
        folder / "training.ckpt",
        callbacks,
        loggers,
        hardware=hardware,
        max_epochs=recipe.epochs,
        accumulate_grad_batches=training.accumulate,
        gradient_clip_val=recipe.gradient_clip,
        **trainer_options,
    )
    network.cpu().float().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return module
