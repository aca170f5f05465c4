"""The stage `score`: accuracy and loss of paths of a trained super-net, as weak labels."""

import copy
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_lightning.plugins.environments import ClusterEnvironment  # type: ignore[attr-defined]
from torch import Tensor

from acenas.errors import UserError, require_at_least, require_one_of
from acenas.files import read_json, write_text
from acenas.images import Images, ImageTask
from acenas.seeds import torch_generator
from acenas.spaces.base import SearchSpace
from acenas.spaces.supernet import PathStatistics, SupernetNetwork
from acenas.tables import Provenance, WeakLabels
from acenas.training.processes import Hardware, processes

LABELS = ("weak.supernet", "weak.supernet_loss")

_CHUNK = {"archs": [str], "scores": [[float]], "seconds": float}

OnChunk = Callable[[int, int], None]
"""Receives the number of finished chunks and of all chunks."""


@torch.inference_mode()
def score_paths(
    network: SupernetNetwork,
    archs: Sequence[str],
    batches: Sequence[Images],
    calibration: Sequence[Tensor] = (),
) -> Tensor:
    """Measures the accuracy and the mean loss of each path, without waiting for the device between paths.

    Args:
        network: on the device of the images.
        archs: A architectures; those with the same first operations should follow one another.
        batches: evaluation images `[B, C, H, W]` float and labels `[B]`.
        calibration: batches of other images, on which the statistics of batch normalisation are measured for each path;
            with none, the statistics are those of each evaluated batch.

    Returns:
        `[A, 2]`, float32, on the device: accuracy in percent, and cross-entropy without label smoothing.
    """
    device = batches[0].labels.device
    totals = torch.zeros(len(archs), 2, device=device)
    count = sum(len(labels) for _, labels in batches)
    memos = [network.memo() for _ in batches]
    calibration_memos = [network.memo() for _ in calibration]
    with PathStatistics(network) if calibration else nullcontext() as statistics:
        for total, arch in zip(totals, archs, strict=True):
            if statistics is not None:
                statistics.measure(arch, calibration, calibration_memos)
            for (images, labels), memo in zip(batches, memos, strict=True):
                logits = network(images, arch, memo).float()
                total[0] += (logits.argmax(1) == labels).sum()
                total[1] += F.cross_entropy(logits, labels, reduction="sum")
    return totals / count * torch.tensor([100.0, 1.0], device=device)


@dataclass(frozen=True, eq=False)
class Scoring:
    """Scores the paths of a super-net.

    Architectures that compute the same function get the label of their canonical form. (The super-net itself would
    label them differently, as their operations are on other edges.)

    Attributes:
        space: of the architectures.
        task: images; the paths are evaluated on the validation images.
        hardware: to compute on.
        archs: a list of architectures, a number of different functions to draw at random, or None for the whole space.
        batch_norm: statistics of the batch that is evaluated ("batch"), or of training images, measured for each
            path ("recalibrated").
        batch_size: images of a batch at most; the batches are of equal size. With `batch_norm="batch"` the labels
            depend on it.
        images: number of evaluated images, the first ones; None for all.
        calibration_batches: batches of training images for `batch_norm="recalibrated"`.
        seed: of the architectures drawn at random.
        chunk_size: architectures of a file; within a file nothing waits for the device.
        channels_last: memory layout of images and weights.

    Raises:
        UserError: where a number is below 1.
    """

    space: SearchSpace
    task: ImageTask
    hardware: Hardware = Hardware()  # noqa: RUF009 (frozen)
    archs: Sequence[str] | int | None = None
    batch_norm: Literal["batch", "recalibrated"] = "batch"
    batch_size: int = 500
    images: int | None = None
    calibration_batches: int = 4
    seed: int = 0
    chunk_size: int = 64
    channels_last: bool = False

    def __post_init__(self) -> None:
        names = ("batch_size", "images", "calibration_batches", "chunk_size")
        require_at_least(1, "score: ", **{name: getattr(self, name) for name in names})
        require_at_least(1, "score: ", archs=self.archs if isinstance(self.archs, int) else None)
        require_one_of("score: batch_norm", self.batch_norm, ("batch", "recalibrated"))

    def run(
        self, network: SupernetNetwork, folder: str | Path, weights: str, progress: OnChunk | None = None
    ) -> WeakLabels:
        """Scores the architectures that `folder` does not hold yet.

        Every finished chunk of architectures is a file in `folder/chunks`; a later run scores the missing chunks, also
        with another number of processes. Files of other weights, images or settings are ignored.

        Args:
            network: trained super-net, on the CPU.
            folder: of these labels alone.
            weights: description of the weights, for the provenance.
            progress: is called after every chunk, in the first process.

        Returns:
            `weak.supernet`, the accuracy in percent (higher is better), and `weak.supernet_loss`, the mean
            cross-entropy (lower is better), of each architecture asked for.

        Raises:
            UserError: where an architecture is not of the space.
        """
        folder, archs = Path(folder), self.architectures()
        forms = self.space.canonical_all(archs)
        canonical = sorted(set(forms))  # the same first operations side by side
        with processes(self.hardware, _score, self, network, canonical, folder) as environment:
            chunks = _score(environment, self, network, canonical, folder, progress)
        done = [read_json(chunk, _CHUNK, "remove it to score its paths again") for chunk in chunks]
        scores = {
            a: score for chunk in done for a, score in zip(chunk["archs"], chunk["scores"], strict=True)
        }
        provenance = self._provenance(weights, sum(chunk["seconds"] for chunk in done), len(canonical))
        values = np.array([scores[form] for form in forms])
        return WeakLabels(self.space.name, archs, LABELS, values, provenance)

    def architectures(self) -> list[str]:
        """Returns the architectures to label, each once."""
        if self.archs is None:
            return list(self.space.enumerate())
        if not isinstance(self.archs, int):
            for arch in self.archs:
                self.space.validate(arch)
            return list(dict.fromkeys(self.archs))
        generator, drawn = torch_generator(self.seed, "supernet", "score"), dict[str, None]()
        for _ in range(100):
            sample = self.space.sample(self.archs, generator)
            drawn |= dict.fromkeys(map(self.space.canonical, sample))
            if len(drawn) >= self.archs:
                return list(drawn)[: self.archs]
        raise UserError(
            f"score: {self.space.name} has fewer than {self.archs} different architectures; set archs=null for all"
        )

    def evaluation(self, device: torch.device) -> list[Images]:
        """Returns the batches that every path is evaluated on, on the device."""
        return self._batches("valid", self.images, device)

    def calibration(self, device: torch.device) -> list[Tensor]:
        """Returns the batches for the statistics of batch normalisation; none with `batch_norm="batch"`."""
        if self.batch_norm == "batch":
            return []
        count = self.calibration_batches * self.batch_size
        return [images for images, _ in self._batches("train", count, device)]

    def _batches(
        self, part: Literal["train", "valid"], limit: int | None, device: torch.device
    ) -> list[Images]:
        images, labels = [], []
        for batch in self.task.evaluation_batches(part, self.batch_size, device):
            images.append(batch.images)
            labels.append(batch.labels)
            if limit is not None and sum(map(len, labels)) >= limit:
                break
        everything = torch.cat(images)[:limit].to(self.hardware.dtype), torch.cat(labels)[:limit]
        count = -(-len(everything[1]) // self.batch_size)
        parts = zip(*(torch.tensor_split(values, count) for values in everything), strict=True)
        return [Images(part.contiguous(memory_format=self.layout), answers) for part, answers in parts]

    @property
    def layout(self) -> torch.memory_format:
        """Memory layout of images and weights."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def _provenance(self, weights: str, seconds: float, count: int) -> dict[str, Provenance]:
        task, valid = self.task, len(self.task.splits.valid.labels)
        images = f"{valid} validation images of {task.source.name}"
        if self.images is not None and self.images < task.draws * valid:
            images = f"the first {self.images} of {task.draws * valid} looks at {images}"
        if task.draws > 1:
            images += f", each in {task.draws} draws of {task.evaluation}"
        statistics = f"with the statistics of batches of up to {self.batch_size} images"
        if self.batch_norm == "recalibrated":
            batches = f"{self.calibration_batches} batches of up to {self.batch_size} training images"
            statistics = f"recalibrated for each path on {batches}"
        how = f"{images}; batch normalisation {statistics}"
        duration = f"{seconds:.1f} device-seconds for {count} paths"
        return {
            "weak.supernet": Provenance(how, weights, duration),
            "weak.supernet_loss": Provenance(f"{how}; lower is better", weights, duration),
        }


def _score(
    environment: ClusterEnvironment | None,
    scoring: Scoring,
    network: SupernetNetwork,
    archs: Sequence[str],
    folder: Path,
    progress: OnChunk | None = None,
) -> list[Path]:
    """Scores the chunks of one process, then those that the others have not done; returns all files.

    No process waits for another. At the end two processes may score the same chunk, with the same result.
    """
    rank, size = (0, 1) if environment is None else (environment.global_rank(), environment.world_size())
    device = scoring.hardware.device(0 if environment is None else environment.local_rank())
    batches, calibration = scoring.evaluation(device), scoring.calibration(device)
    key = scores_key(network, batches, calibration, scoring.hardware.precision)
    parts = [archs[start : start + scoring.chunk_size] for start in range(0, len(archs), scoring.chunk_size)]
    files = [folder / "chunks" / f"{_digest([key, *part])}.json" for part in parts]
    network = copy.deepcopy(network).to(device, scoring.hardware.dtype)
    network.to(memory_format=scoring.layout)  # type: ignore[call-overload]

    def report() -> None:
        if progress is not None:
            progress(sum(file.exists() for file in files), len(files))

    report()
    mine = [i for i in range(len(files)) if i % size == rank]
    others = [i for i in reversed(range(len(files))) if i % size != rank]  # they come from the other end
    for i in mine + others:
        with suppress(UserError):  # there is none yet, or it is damaged
            read_json(files[i], _CHUNK)
            continue
        start = time.monotonic()
        with scoring.hardware.autocast():
            scores = score_paths(network, parts[i], batches, calibration).tolist()
        seconds = time.monotonic() - start
        write_text(files[i], json.dumps({"archs": list(parts[i]), "scores": scores, "seconds": seconds}))
        report()
    return files


def scores_key(
    network: SupernetNetwork, batches: Sequence[Images], calibration: Sequence[Tensor], precision: str
) -> str:
    """Returns a hash of all that the scores of an architecture depend on."""
    tensors = [*network.state_dict().values(), *(t for batch in batches for t in batch), *calibration]
    plain = (tensor.detach().cpu().contiguous().numpy() for tensor in tensors)
    return _digest([precision, *(f"{a.shape}{hashlib.sha256(a.tobytes()).hexdigest()}" for a in plain)])


def _digest(texts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
