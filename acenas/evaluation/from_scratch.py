"""Trains the architectures that a search chooses from scratch, and measures the test accuracy of those."""

from __future__ import annotations

import hashlib
import json
import traceback
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from copy import copy
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from joblib import cpu_count
from numpy.typing import NDArray
from rich import get_console
from typing_extensions import override

from acenas.errors import UserError
from acenas.evaluation.base import Evaluator, Judge, Observations
from acenas.executors import Executor, LocalProcesses, Lost
from acenas.executors.progress import show_progress
from acenas.files import atomic_path, write_text
from acenas.images import ImageFiles, Images, ImageTask
from acenas.spaces.base import SearchSpace
from acenas.training.accuracy import accuracies
from acenas.training.batches import batches_per_epoch, evaluation_batches
from acenas.training.curve import CurveTraining
from acenas.training.lightning import fit, one_thread
from acenas.training.network import initialised, load_weights
from acenas.training.processes import Hardware
from acenas.training.recipe import Recipe
from acenas.training.settings import check_settings, image_settings, network_settings

Accelerator = Literal["auto", "cpu", "gpu"]
"""Where networks are trained and judged; `auto` takes the GPUs where there are any."""

ERROR = "error.log"
"""The file with the reason, in the folder of an architecture whose training failed."""


class TrainingEvaluator(Evaluator):
    """Trains architectures from scratch, several at once; one that is trained already is read, not trained again.

    Every architecture has a folder of its own in `folder`, named by a hash of its canonical form. It holds `last.ckpt`
    and `curve.csv` during the training, from which a killed training resumes to the same weights, and in the end
    `weights.pt` and `result.json`. Architectures with the same canonical form share one training, that of the canonical
    form.

    An accuracy depends on the seed and the architecture, not on `jobs` or on what else is trained: a seed sets initial
    weights, order and augmentation as in `training.side_by_side.train`, so that with the recipe, images and seed of a
    measured table an architecture gets the table's accuracy, except for rounding.

    Args:
        space: builds the networks.
        images: to train on, and to validate on.
        recipe: how to train.
        folder: of the architectures' folders.
        seed: of all trainings.
        executor: where trainings run, each in a process of its own; on this machine by default.
        jobs: trainings at once; on a CPU each has one thread. None for one for each GPU, or for each core where there
            is no GPU, and elsewhere than on this machine for as many as there is room for.
        accelerator: where to train; GPUs are taken in turn.
        precision: of Lightning; validation and test are always in float32.
        channels_last: memory layout of weights and images; faster in mixed precision on a GPU.
        checkpoint_seconds: a training that is killed loses so many seconds, or an epoch where that is longer.

    Raises:
        UserError: where an argument makes no sense.
    """

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
        if jobs is not None and jobs < 1:
            raise UserError(f"evaluator: jobs must be at least 1, or null for all of the machine, not {jobs}")
        self.space = space
        self.images = images
        self.recipe = recipe
        self.folder = Path(folder)
        self.seed = seed
        self.executor = executor or LocalProcesses()
        self.jobs = jobs
        self.accelerator = accelerator
        if self.executor.here:
            devices = _devices(accelerator)
            self.jobs = jobs or (len(devices) if devices[0].type == "cuda" else cpu_count())
        self.precision = precision
        self.channels_last = channels_last
        self.checkpoint_seconds = checkpoint_seconds

    @override
    def evaluate(self, archs: Sequence[str]) -> Observations:
        """Trains those of `archs` that are not trained yet, and shows the progress.

        The seconds are those of the training alone, over all processes that worked on it.

        Raises:
            UserError: where a training failed, with its architecture and log (the others are finished and kept), or
                where `folder` holds trainings that were made in another way.
        """
        for arch in archs:
            self.space.validate(arch)
        forms = [self.space.canonical(arch) for arch in archs]
        check_settings(self.folder / "training.json", self._settings)
        missing = [arch for arch in dict.fromkeys(forms) if not self._is_done(arch)]
        if missing:
            batches_per_epoch(self.images, self.recipe.batch_size)  # raises before any process starts
            self._train_all(missing)
        results = [read_result(arch_folder(self.folder, form), form) for form in forms]
        return Observations(
            list(archs),
            np.array([result["observed_accuracy"] for result in results], dtype=np.float64),
            np.array([result["seconds"] for result in results], dtype=np.float64),
        )

    def _is_done(self, arch: str) -> bool:
        return (arch_folder(self.folder, arch) / "result.json").exists()

    @cached_property
    def _settings(self) -> dict[str, Any]:
        """Returns all that accuracies depend on, except for rounding."""
        return {
            **network_settings(self.space, self.images.splits.num_classes),
            "images": image_settings(self.images),
            "recipe": asdict(self.recipe),
            "seed": self.seed,
            "precision": self.precision,
        }

    def _train_all(self, archs: Sequence[str]) -> None:
        # Each process reads the images itself: they are too large to send.
        sent = copy(self)
        sent.images = replace(self.images)
        work = {
            arch_folder(self.folder, arch): partial(sent._attempt, arch, i) for i, arch in enumerate(archs)
        }
        results = self.executor.run(work, self.folder / ".submitit", self.jobs)
        attempts = dict(show_progress(results, len(archs), 0, get_console(), "trained"))
        if lost := [result.why for result in attempts.values() if isinstance(result, Lost)]:
            raise UserError(
                f"{len(lost)} of {len(archs)} trainings are lost: a training process was killed, perhaps for want of "
                f"memory ({lost[0]}). What is trained is kept in {self.folder}; run again to go on, perhaps with fewer "
                f"jobs than {self.jobs or len(archs)}"
            )
        failed = {folder: error for folder, error in attempts.items() if error}
        if failed:
            lines = [
                f"  {arch}: {failed[folder]}; see {folder / ERROR}"
                for arch in archs
                if (folder := arch_folder(self.folder, arch)) in failed
            ]
            raise UserError(
                f"{len(failed)} of {len(archs)} trainings failed; the others are kept, and running again trains "
                "only these:\n" + "\n".join(lines)
            )

    def _attempt(self, arch: str, number: int) -> str:
        """Trains `arch`; writes an error to its folder and returns it rather than raise it, so that others go on."""
        log = arch_folder(self.folder, arch) / ERROR
        try:
            devices = _devices(self.accelerator)
            self.train_one(arch, devices[number % len(devices)])
        except Exception as error:
            write_text(log, f"{arch}\n\n{traceback.format_exc()}")
            return f"{type(error).__name__}: {error}"
        log.unlink(missing_ok=True)
        return ""

    def train_one(self, arch: str, device: torch.device) -> None:
        """Trains the canonical architecture `arch` on `device`, or resumes its training, and writes its result."""
        folder = arch_folder(self.folder, arch)
        folder.mkdir(parents=True, exist_ok=True)
        num_classes, on_gpu = self.images.splits.num_classes, device.type == "cuda"
        network = initialised(lambda: self.space.build(arch, num_classes), self.seed)
        checkpoint = folder / "last.ckpt"
        with nullcontext() if on_gpu else one_thread():
            module = CurveTraining(
                network, self.images, self.recipe, self.seed, device, folder / "curve.csv", self.channels_last
            )
            fit(
                module,
                module.batches,
                Hardware("gpu" if on_gpu else "cpu"),
                checkpoint,
                device=device,
                checkpoint_seconds=self.checkpoint_seconds,
                max_epochs=self.recipe.epochs,
                gradient_clip_val=self.recipe.gradient_clip,
                precision=self.precision,
            )
        with atomic_path(folder / "weights.pt") as temporary:
            torch.save(
                {name: tensor.cpu() for name, tensor in module.network.state_dict().items()}, temporary
            )
        result = {
            "arch": arch,
            "observed_accuracy": module.curve[-1]["valid_accuracy"],
            "seconds": module.seconds,
            "epochs": self.recipe.epochs,
        }
        write_text(folder / "result.json", json.dumps(result, indent=2) + "\n")
        checkpoint.unlink(missing_ok=True)


class TrainingJudge(Judge):
    """Measures the test accuracies of what a `TrainingEvaluator` has trained. Only the report constructs one.

    Args:
        space: builds the networks.
        images: with the test images.
        folder: as the evaluator's.
        accelerator: where to measure.
    """

    def __init__(
        self,
        space: SearchSpace,
        images: ImageTask,
        folder: str | Path,
        *,
        accelerator: Accelerator = "auto",
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
        forms = [self.space.canonical(arch) for arch in archs]
        measured = {form: self._measure(form) for form in dict.fromkeys(forms)}
        return np.array([measured[form] for form in forms], dtype=np.float64)

    @override
    def known(self) -> tuple[list[str], NDArray[np.float64]]:
        """Returns all architectures that were trained, and their test accuracies ``[A]`` in percent."""
        results = sorted(self.folder.glob("*/result.json"))
        archs = [json.loads(path.read_text(encoding="utf-8"))["arch"] for path in results]
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


def arch_folder(folder: Path, arch: str) -> Path:
    """Returns the folder of canonical architecture `arch` in `folder`."""
    return folder / hashlib.sha256(arch.encode()).hexdigest()[:12]


def read_result(folder: Path, arch: str) -> Mapping[str, Any]:
    """Reads the result of the training of `arch` from its folder.

    Raises:
        UserError: where it is not trained.
    """
    path = folder / "result.json"
    if not path.exists():
        raise UserError(
            f"{folder.parent} holds no finished training of {arch}; only architectures that the evaluator has "
            "trained have an accuracy"
        )
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if result["arch"] != arch:
        raise UserError(f"{path} is the result of {result['arch']}, not of {arch}; remove its folder")
    return result


def _devices(accelerator: Accelerator) -> list[torch.device]:
    count = torch.cuda.device_count()
    if accelerator == "gpu" and not count:
        raise UserError("accelerator=gpu, but torch finds no GPU; choose accelerator=cpu or auto")
    if accelerator == "cpu" or not count:
        return [torch.device("cpu")]
    return [torch.device("cuda", index) for index in range(count)]
