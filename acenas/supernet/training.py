"""The stage `supernet`: trains the shared weights on one device or many, and resumes where it was killed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.environments import ClusterEnvironment  # type: ignore[attr-defined]
from pytorch_lightning.strategies import DDPStrategy

from acenas.files import atomic_path
from acenas.images import ImageData, ImageTask
from acenas.spaces.base import SearchSpace
from acenas.spaces.supernet import SupernetNetwork
from acenas.supernet.module import Average, Supernet
from acenas.supernet.sampling import PathSampler
from acenas.training.lightning import fit
from acenas.training.network import initialised, load_weights
from acenas.training.processes import Hardware, processes
from acenas.training.recipe import Recipe


class PathDDP(DDPStrategy):
    """Gives all processes the same initial weights; `Supernet` itself averages the gradients of a step."""

    def configure_ddp(self) -> None:
        """Sends the weights of the first process to all; does not wrap the module."""
        assert self.model is not None
        for parameter in self.model.parameters():
            dist.broadcast(parameter.data, src=0)


@dataclass(frozen=True, eq=False)
class SupernetTraining:
    """Trains the super-net of a space.

    On one machine the weights are a function of the attributes, whether or not the training was killed and resumed.

    Attributes:
        space: has a super-net.
        task: images and their augmentation.
        sampler: draws the paths of each step.
        recipe: how to train; the batch size is that of one process.
        hardware: to train on.
        seed: of initial weights, order of images, augmentation and paths.
        average: how gradients are averaged over paths, see `Supernet`.
        accumulate: batches of a step.
        channels_last: memory layout; faster on GPUs in bfloat16.
    """

    space: SearchSpace
    task: ImageTask
    sampler: PathSampler
    recipe: Recipe
    hardware: Hardware = Hardware()  # noqa: RUF009 (frozen)
    seed: int = 0
    average: Average = "users"
    accumulate: int = 1
    channels_last: bool = False

    def run(
        self, folder: str | Path, callbacks: Sequence[pl.Callback] = (), loggers: Sequence[Logger] = ()
    ) -> SupernetNetwork:
        """Trains the super-net unless `folder` holds it; called again after a kill, resumes after the last whole epoch.

        The first process writes `supernet.ckpt` after each epoch and `supernet.pt`, the final weights, in the end. It
        logs `supernet/loss`, `supernet/train_accuracy` (percent) and `supernet/learning_rate` every epoch.

        Args:
            folder: of this training alone.
            callbacks: of Lightning, in the first process.
            loggers: of Lightning, in the first process.

        Returns:
            The trained network, on the CPU, in every process that a launcher has started.

        Raises:
            UserError: where the space has no super-net, the images do not fill a batch, the hardware is not there,
                or `folder` holds other weights.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        done = folder / "supernet.pt"
        if done.exists():
            return self.load(done)
        with processes(self.hardware, _fit, self, folder) as environment:
            network = _fit(environment, self, folder, callbacks, loggers)
            if environment is None or environment.global_rank() == 0:
                with atomic_path(done) as temporary:
                    torch.save(network.state_dict(), temporary)
        return network

    def load(self, path: str | Path) -> SupernetNetwork:
        """Returns the network with the weights of `path`, on the CPU. Raises `UserError` where they do not fit."""
        network = self.fresh()
        load_weights(network, Path(path), "this super-net")
        return network

    def fresh(self) -> SupernetNetwork:
        """Returns the network with initial weights that depend on the seed alone."""
        num_classes = self.task.splits.num_classes
        return initialised(lambda: self.space.build_supernet(num_classes), self.seed, "supernet")

    @property
    def description(self) -> str:
        """The training in words, for the provenance of weak labels."""
        return (
            f"super-net trained on {len(self.task.splits.train.labels)} images of {self.task.source.name} with seed "
            f"{self.seed}, {self.sampler} and {self.recipe}, {self.hardware.world_size} process(es)"
        )


def _fit(
    environment: ClusterEnvironment | None,
    training: SupernetTraining,
    folder: Path,
    callbacks: Sequence[pl.Callback] = (),
    loggers: Sequence[Logger] = (),
) -> SupernetNetwork:
    """Trains the super-net as one of the processes."""
    hardware = training.hardware
    # Lightning loads a checkpoint before it changes the type of the weights.
    network = training.fresh().to(hardware.dtype)
    module = Supernet(
        network,
        training.space,
        training.sampler,
        training.recipe,
        training.seed,
        average=training.average,
        accumulate=training.accumulate,
        channels_last=training.channels_last,
    )
    batches = len(training.task.splits.train.labels) // (training.recipe.batch_size * hardware.world_size)
    trainer_options: dict[str, Any] = {"log_every_n_steps": max(batches, 1)}  # nothing within an epoch
    if environment is not None:
        trainer_options["strategy"] = PathDDP(
            cluster_environment=environment, process_group_backend=hardware.backend
        )
    fit(
        module,
        ImageData(training.task, training.recipe.batch_size, training.seed),
        folder / "supernet.ckpt",
        callbacks,
        loggers,
        hardware=hardware,
        max_epochs=training.recipe.epochs,
        **trainer_options,
    )
    network.cpu().float().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return network
