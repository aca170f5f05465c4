"""Trains the architectures that a search chooses, several at once, and judges those that were trained."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from copy import copy
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from joblib import cpu_count
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from numpy.typing import NDArray
from rich import get_console
from torch import Tensor, nn

from acenas.errors import UserError
from acenas.evaluation.base import Evaluator, Judge, Observations
from acenas.executors import Executor, LocalProcesses, Lost
from acenas.executors.progress import show_progress
from acenas.files import atomic_path, write_text
from acenas.images import ImageFiles, Images, ImageTask
from acenas.seeds import derive_seed, torch_generator
from acenas.spaces.base import SearchSpace
from acenas.training.common import (
    accuracies,
    claim,
    data_generator,
    evaluation_batches,
    fingerprint,
    initialised,
    steps_per_epoch,
    training_batches,
)
from acenas.training.lightning import one_thread, quiet
from acenas.training.recipe import Recipe

Accelerator = Literal["auto", "cpu", "gpu"]
"""Where networks are trained and judged; `auto` takes the GPUs where there are any."""

ERROR = "error.log"
"""In the folder of an architecture whose training failed: why."""


class NetworkTraining(pl.LightningModule):
    """One network learns from images. Its curve has a row for each epoch, and never a test accuracy.

    In the curve the validation accuracy is that of the first draw of the validation images, but after the last epoch
    it is that of all draws: the observed accuracy. It is measured in float32 whatever the precision of the training.

    Args:
        network: with fresh weights.
        task: the images.
        recipe: how to train.
        seed: of the order of the images, of their augmentation, and of what the network itself draws.
        device: where to train.
        folder: `last.ckpt` and `curve.csv` are written there, whole whenever the process is killed.
        checkpoint_seconds: at the end of an epoch they are written unless that was done within so many seconds.
        channels_last: memory format of weights and images.
    """

    def __init__(
        self,
        network: nn.Module,
        task: ImageTask,
        recipe: Recipe,
        seed: int,
        device: torch.device,
        folder: Path,
        checkpoint_seconds: float,
        channels_last: bool,
    ) -> None:
        super().__init__()
        self.network = network
        self.task = task
        self.recipe = recipe
        self.seed = seed
        self.folder = folder
        self.checkpoint_seconds = checkpoint_seconds
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.network.to(memory_format=self.memory_format)  # type: ignore[call-overload]
        self.steps = recipe.epochs * steps_per_epoch(recipe, task)
        self.generator = data_generator(seed, device)
        self.images = task.splits.train.to(device)
        self.curve: list[dict[str, float]] = []
        self.seconds = 0.0
        self._clock = self._written = time.monotonic()
        self._first_draw: list[Images] = []
        self._loss_sum = torch.zeros((), device=device)
        self._correct = torch.zeros((), device=device)

    # --- what Lightning asks for ---

    def train_dataloader(self) -> _Epochs:
        """The batches of every epoch anew, on the device already."""
        return _Epochs(self)

    def transfer_batch_to_device(self, batch: Images, device: torch.device, dataloader_idx: int) -> Images:
        """Nothing to do."""
        return batch

    def configure_optimizers(self) -> Any:
        """The recipe's."""
        optimizer = self.recipe.optimizer(self.network)
        scheduler = self.recipe.scheduler(optimizer, self.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_train_epoch_start(self) -> None:
        """What the network draws in an epoch, as for dropout, is the same in a resumed training."""
        torch.manual_seed(derive_seed(self.seed, "training", "network", self.current_epoch))

    def training_step(self, batch: Images, batch_idx: int) -> Tensor:
        """The loss of a batch; sums what the curve shows, without waiting for the device."""
        logits = self.network(batch.images.contiguous(memory_format=self.memory_format))
        loss = self.recipe.loss(logits, batch.labels)
        self._loss_sum.add_(loss.detach())
        self._correct.add_((logits.detach().argmax(-1) == batch.labels).sum())
        return loss

    def on_train_epoch_end(self) -> None:
        """Adds a row to the curve."""
        steps = self.steps // self.recipe.epochs
        last = self.current_epoch + 1 == self.recipe.epochs
        self.curve.append(
            {
                "epoch": self.current_epoch + 1,
                "learning_rate": self.recipe.learning_rate
                * self.recipe.schedule(self.global_step - 1, self.steps),
                "train_loss": self._loss_sum.item() / steps,
                "train_accuracy": 100 * self._correct.item() / (steps * self.recipe.batch_size),
                "valid_accuracy": self._valid_accuracy(all_draws=last),
            }
        )
        self._loss_sum.zero_()
        self._correct.zero_()
        now = time.monotonic()
        self.seconds, self._clock = self.seconds + now - self._clock, now
        if last or now - self._written >= self.checkpoint_seconds:
            self._write()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what Lightning does not know of."""
        checkpoint["curve"] = self.curve
        checkpoint["seconds"] = self.seconds
        checkpoint["data_generator"] = self.generator.get_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Goes on where `on_save_checkpoint` was."""
        self.curve = checkpoint["curve"]
        self.seconds = checkpoint["seconds"]
        self.generator.set_state(checkpoint["data_generator"].cpu())

    # --- curve and files ---

    def _valid_accuracy(self, all_draws: bool) -> float:
        if all_draws or isinstance(self.images, ImageFiles):
            return accuracies(self.network, evaluation_batches(self.task, "valid", self.device))[0]
        if not self._first_draw:
            batches = list(evaluation_batches(self.task, "valid", self.device))
            self._first_draw = batches[: len(batches) // self.task.draws]
        return accuracies(self.network, self._first_draw)[0]

    def _write(self) -> None:
        table = io.StringIO()
        writer = csv.DictWriter(table, list(self.curve[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.curve)
        write_text(self.folder / "curve.csv", table.getvalue())
        with atomic_path(self.folder / "last.ckpt") as temporary:
            self.trainer.save_checkpoint(temporary, weights_only=False)
        self._written = time.monotonic()


class _Epochs:
    """The batches of one epoch, whenever it is iterated."""

    def __init__(self, training: NetworkTraining) -> None:
        self.training = training

    def __len__(self) -> int:
        return self.training.steps // self.training.recipe.epochs

    def __iter__(self) -> Iterator[Images]:
        training = self.training
        return training_batches(
            training.task, training.images, training.recipe.batch_size, training.generator
        )


class TrainingEvaluator(Evaluator):
    """Trains architectures from scratch, several at once; what is trained already is read and not trained again.

    Every architecture has a folder of its own in `folder`, named by a hash of its canonical form: `last.ckpt` and
    `curve.csv` while it is in training, from which a killed training goes on to the same weights, and in the end
    `weights.pt` and `result.json`. Architectures with one canonical form are one training, of the canonical one.

    An accuracy depends on the seed and the architecture, not on `jobs` or on what else is trained: a seed sets first
    weights, order and augmentation as in `training.train`, so that with the recipe, images and seed of a measured
    table an architecture gets the table's accuracy, up to what rounding does in a training.

    Args:
        space: builds the networks.
        images: to train on, and to validate on.
        recipe: how to train.
        folder: of the architectures' folders.
        seed: of all trainings.
        executor: where trainings run, each in a process of its own; on this machine by default.
        jobs: trainings at once; on a CPU each has one thread. None for one for each GPU, or for each core where there
            is no GPU, and elsewhere than on this machine for as many as there is room for.
        accelerator: GPUs are taken in turn.
        precision: Lightning's; validation and judging are in float32 always.
        channels_last: the memory format that convolutions in mixed precision want on a GPU.
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

    def evaluate(self, archs: Sequence[str]) -> Observations:
        """Trains those of `archs` that are not trained yet, and shows how far it is.

        The seconds are those of the training alone, over all processes that worked on it.

        Raises:
            UserError: where a training failed, with its architecture and log (the others are finished and kept), or
                where `folder` holds trainings that were made in another way.
        """
        for arch in archs:
            self.space.validate(arch)
        forms = [self.space.canonical(arch) for arch in archs]
        claim(self.folder / "training.json", self._fingerprint)
        missing = [arch for arch in dict.fromkeys(forms) if not self._is_done(arch)]
        if missing:
            steps_per_epoch(
                self.recipe, self.images
            )  # refuses images that fill no batch, before any process starts
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
    def _fingerprint(self) -> dict[str, Any]:
        """All that accuracies depend on, but for what rounding does."""
        example = self.space.sample(1, torch_generator(0, "example"))[0]
        return {
            "space": self.space.name,
            "network": str(self.space.build(example, self.images.splits.num_classes)),
            "images": fingerprint(self.images),
            "recipe": asdict(self.recipe),
            "seed": self.seed,
            "precision": self.precision,
        }

    def _train_all(self, archs: Sequence[str]) -> None:
        # Each process reads the images itself: they are too much to send along.
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
        """Trains `arch`; an error is written to its folder and returned rather than raised, so that others go on."""
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
        """Trains the canonical architecture `arch` on `device`, or goes on with it, and writes its result."""
        folder = arch_folder(self.folder, arch)
        folder.mkdir(parents=True, exist_ok=True)
        on_gpu = device.type == "cuda"
        with (
            quiet(),
            nullcontext() if on_gpu else one_thread(),
            torch.random.fork_rng(devices=[device] if on_gpu else []),
        ):
            num_classes = self.images.splits.num_classes
            module = NetworkTraining(
                initialised(lambda: self.space.build(arch, num_classes), self.seed),
                self.images,
                self.recipe,
                self.seed,
                device,
                folder,
                self.checkpoint_seconds,
                self.channels_last,
            )
            trainer = pl.Trainer(
                accelerator="gpu" if on_gpu else "cpu",
                devices=[device.index] if on_gpu else 1,
                precision=self.precision,
                max_epochs=self.recipe.epochs,
                gradient_clip_val=self.recipe.gradient_clip,
                plugins=[LightningEnvironment()],  # one process, whatever a cluster's variables say
                logger=False,
                enable_checkpointing=False,
                enable_model_summary=False,
                enable_progress_bar=False,
                num_sanity_val_steps=0,
            )
            checkpoint = folder / "last.ckpt"
            trainer.fit(module, ckpt_path=checkpoint if checkpoint.exists() else None)
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
    """Test accuracies of what a `TrainingEvaluator` has trained. Only the report constructs one.

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

    def test_accuracy(self, archs: Sequence[str]) -> NDArray[np.float64]:
        """``[A]`` float64, in percent: of the final weights, on the test images.

        Raises:
            UserError: for an architecture that was not trained.
        """
        forms = [self.space.canonical(arch) for arch in archs]
        measured = {form: self._measure(form) for form in dict.fromkeys(forms)}
        return np.array([measured[form] for form in forms], dtype=np.float64)

    def known(self) -> tuple[list[str], NDArray[np.float64]]:
        """All architectures that were trained, and their test accuracies ``[A]`` in percent."""
        results = sorted(self.folder.glob("*/result.json"))
        archs = [json.loads(path.read_text(encoding="utf-8"))["arch"] for path in results]
        return archs, self.test_accuracy(archs)

    @property
    def _test_images(self) -> Iterable[Images]:
        """Kept for the next network, unless they are too many."""
        batches = evaluation_batches(self.images, "test", self.device)
        if isinstance(self.images.splits.test, ImageFiles):
            return batches
        self._kept = self._kept or list(batches)
        return self._kept

    def _measure(self, arch: str) -> float:
        folder = arch_folder(self.folder, arch)
        read_result(folder, arch)
        network = self.space.build(arch, self.images.splits.num_classes).to(self.device)
        network.load_state_dict(
            torch.load(folder / "weights.pt", map_location=self.device, weights_only=True)
        )
        with nullcontext() if self.device.type == "cuda" else one_thread():
            return accuracies(network, self._test_images)[0]


def arch_folder(folder: Path, arch: str) -> Path:
    """The folder of canonical architecture `arch` in `folder`."""
    return folder / hashlib.sha256(arch.encode()).hexdigest()[:12]


def read_result(folder: Path, arch: str) -> Mapping[str, Any]:
    """What the training of `arch` showed, from its folder.

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
