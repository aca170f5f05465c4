"""Trains the architectures that a search chooses from scratch, and measures the test accuracy of those."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from copy import copy
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import override

from acenas.errors import UserError
from acenas.evaluation.base import Judge, Result
from acenas.evaluation.curves import StopRule
from acenas.evaluation.jobs import RESULT, TrainingJobs, arch_folder, read_result
from acenas.evaluation.reports import CURVE, GoesOn
from acenas.executors import Executor
from acenas.files import atomic_path
from acenas.images import ImageFiles, Images, ImageTask
from acenas.spaces.base import SearchSpace
from acenas.training.batches import accuracies, batches_per_epoch, evaluation_batches
from acenas.training.curve import CurveTraining
from acenas.training.lightning import fit, one_thread
from acenas.training.network import initialised, load_weights
from acenas.training.processes import Hardware
from acenas.training.recipe import Recipe
from acenas.training.settings import check_settings, image_settings, network_settings

CHECKPOINT = "last.ckpt"
"""In the folder of an architecture during its training."""

Accelerator = Literal["auto", "cpu", "gpu"]
"""Where networks are trained and judged; `auto` takes the GPUs where there are any."""


class TrainingEvaluator(TrainingJobs):
    """Trains architectures from scratch.

    During a training the folder of its architecture holds `last.ckpt` and `curve.csv`, from which a killed or a stopped
    training resumes to the same weights; in the end `weights.pt` and `result.json`. The seconds of a result are those
    of the training alone, over all processes that worked on it. It reports the validation accuracy of each epoch.

    An accuracy depends on the seed and the architecture, not on `jobs` or on what else is trained. Seeds are used as in
    `training.side_by_side.train`: with the recipe, images and seed of a measured table an architecture gets the table's
    accuracy, except for rounding.

    Args:
        space: builds the networks.
        images: to train on, and to validate on.
        recipe: how to train.
        folder: of the architectures' folders.
        seed: of all trainings.
        executor: see `TrainingJobs`.
        jobs: trainings at once; on a CPU each has one thread. None for one for each GPU of this machine, or as in
            `TrainingJobs` where there is none.
        accelerator: to train on; GPUs are taken in turn.
        precision: of Lightning; validation and test are always in float32.
        channels_last: memory layout of weights and images; faster in mixed precision on a GPU.
        checkpoint_seconds: that a kill costs at most, or an epoch where that is longer.

    Raises:
        UserError: where an argument makes no sense.
    """

    resumable = True
    value_column = "valid_accuracy"

    def __init__(
        self,
        space: SearchSpace,
        images: ImageTask,
        recipe: Recipe,
        folder: str | Path,
        *,
        seed: int = 0,
        executor: Executor | None = None,
        jobs: int | None = None,
        accelerator: Accelerator = "auto",
        precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true",
        channels_last: bool = False,
        checkpoint_seconds: float = 10.0,
    ) -> None:
        super().__init__(space, folder, executor, jobs, recipe.epochs)
        self.images = images
        self.recipe = recipe
        self.seed = seed
        self.accelerator = accelerator
        if self.executor.here and _devices(accelerator)[0].type == "cuda":
            self.jobs = jobs or len(_devices(accelerator))
        self.precision = precision
        self.channels_last = channels_last
        self.checkpoint_seconds = checkpoint_seconds

    @override
    def results(self, archs: Sequence[str], rule: StopRule | None = None) -> Iterator[Result]:
        """Trains `archs` and yields each result as it ends; a diverged training has failed.

        Raises:
            UserError: where the images do not fill a batch, or `folder` holds trainings made in another way.
        """
        batches_per_epoch(self.images, self.recipe.batch_size)  # raises before any process starts
        check_settings(self.folder / "training.json", self._settings)
        yield from super().results(archs, rule)

    @cached_property
    def _settings(self) -> dict[str, Any]:
        """All that accuracies depend on, except for rounding."""
        return {
            **network_settings(self.space, self.images.splits.num_classes),
            "images": image_settings(self.images),
            "recipe": asdict(self.recipe),
            "seed": self.seed,
            "precision": self.precision,
        }

    @override
    def repeated(self, number: int) -> Self:
        other = super().repeated(number)
        other.seed = self.seed + number
        other.__dict__.pop("_settings", None)
        return other

    @override
    def sent(self) -> TrainingEvaluator:
        other = copy(self)
        other.images = replace(self.images)  # without what is read: each process reads the images itself
        return other

    @override
    def _attempt(self, arch: str, number: int, goes_on: GoesOn) -> str:
        error, folder = super()._attempt(arch, number, goes_on), arch_folder(self.folder, arch)
        if (folder / RESULT).exists():  # not before it is written: a kill in between costs nothing
            (folder / CHECKPOINT).unlink(missing_ok=True)
        return error

    @override
    def train(self, arch: str, number: int, folder: Path, goes_on: GoesOn) -> dict[str, Any] | None:
        devices, num_classes = _devices(self.accelerator), self.images.splits.num_classes
        device = devices[number % len(devices)]
        on_gpu = device.type == "cuda"
        network = initialised(lambda: self.space.build(arch, num_classes), self.seed)
        with nullcontext() if on_gpu else one_thread():
            module = CurveTraining(
                network,
                self.images,
                self.recipe,
                self.seed,
                device,
                folder / CURVE,
                self.channels_last,
                goes_on,
            )
            fit(
                module,
                module.batches,
                folder / CHECKPOINT,
                hardware=Hardware("gpu" if on_gpu else "cpu"),
                device=device,
                checkpoint_seconds=self.checkpoint_seconds,
                max_epochs=self.recipe.epochs,
                gradient_clip_val=self.recipe.gradient_clip,
                precision=self.precision,
            )
        if module.stopped:
            return None
        with atomic_path(folder / "weights.pt") as temporary:
            torch.save(module.network.cpu().state_dict(), temporary)
        accuracy = module.curve[-1]["valid_accuracy"]
        return {"value": accuracy, "seconds": module.seconds, "epochs": self.recipe.epochs}


class TrainingJudge(Judge):
    """Measures the test accuracies of networks of a `TrainingEvaluator`, in its folder. Only the report has one."""

    def __init__(
        self, space: SearchSpace, images: ImageTask, folder: str | Path, *, accelerator: Accelerator = "auto"
    ) -> None:
        self.space = space
        self.images = images
        self.folder = Path(folder)
        self.device = _devices(accelerator)[0]
        self._kept: list[Images] = []

    @override
    def test_accuracy(self, archs: Sequence[str]) -> NDArray[np.float64]:
        """Returns ``[A]`` float64, the accuracies of the final weights on the test images, in percent.

        Raises:
            UserError: for an architecture that was not trained.
        """
        forms = self.space.canonical_all(archs)
        measured = {form: self._measure(form) for form in dict.fromkeys(forms)}
        return np.array([measured[form] for form in forms], dtype=np.float64)

    @override
    def known(self) -> tuple[list[str], NDArray[np.float64]]:
        """Returns all architectures that were trained, and their test accuracies ``[A]`` in percent."""
        results = sorted(self.folder.glob(f"*/{RESULT}"))
        archs = [read_result(path.parent)["arch"] for path in results]
        return archs, self.test_accuracy(archs)

    @property
    def _test_images(self) -> Iterable[Images]:
        """The batches of the test images; those in memory are kept for the next network."""
        batches = evaluation_batches(self.images, "test", self.device)
        if isinstance(self.images.splits.test, ImageFiles):
            return batches
        self._kept = self._kept or list(batches)
        return self._kept

    def _measure(self, arch: str) -> float:
        folder = arch_folder(self.folder, arch)
        read_result(folder, arch)
        network = self.space.build(arch, self.images.splits.num_classes)
        load_weights(network, folder / "weights.pt", arch)
        network.to(self.device)
        with nullcontext() if self.device.type == "cuda" else one_thread():
            return accuracies(network, self._test_images)[0]


def _devices(accelerator: Accelerator) -> list[torch.device]:
    count = torch.cuda.device_count()
    if accelerator == "gpu" and not count:
        raise UserError("accelerator=gpu, but torch finds no GPU; choose accelerator=cpu or auto")
    if accelerator == "cpu" or not count:
        return [torch.device("cpu")]
    return [torch.device("cuda", index) for index in range(count)]
