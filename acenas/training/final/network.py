"""A trained network and what its users must know of it, as files in a folder."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from acenas.errors import UserError
from acenas.files import atomic_path, read_json, reading, write_text
from acenas.images import ImageTask
from acenas.spaces.base import SearchSpace
from acenas.training.batches import accuracies
from acenas.training.network import load_weights

WEIGHTS = "network.pt"
FACTS = "network.json"


_FACTS = {
    **dict.fromkeys(("arch", "space", "dataset", "training"), str),
    **dict.fromkeys(("num_classes", "seed"), int),
    **dict.fromkeys(("params_m", "macs_m", "flops_m"), float),
    "image_shape": [int],
    "mean": [float],
    "std": [float],
    "preparation?": str,
    "classes?": [str],
    "accuracy?": {str: float},
    "damaged?": {str: str},
}


@dataclass(frozen=True)
class NetworkFacts:
    """The facts of a trained network, as plain values.

    Attributes:
        arch: the architecture, in the grammar of its space.
        space: name of the space.
        dataset: name of the images.
        num_classes: logits.
        image_shape: `(channels, height, width)` of an input.
        mean: of each channel, in bytes; it is subtracted from an input.
        std: standard deviation of each channel, in bytes; an input is divided by it.
        params_m, macs_m, flops_m: see `acenas.spaces.cost.Cost`.
        training: how it was trained, without the seed.
        seed: of the training.
        preparation: how images were prepared before they were normalised.
        classes: names of the classes, where they are known.
        accuracy: in percent, by part of the images: `valid` and `test`.
        damaged: files that could not be read, and why.
    """

    arch: str
    space: str
    dataset: str
    num_classes: int
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    params_m: float
    macs_m: float
    flops_m: float
    training: str
    seed: int
    preparation: str = ""
    classes: tuple[str, ...] = ()
    accuracy: dict[str, float] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, space: SearchSpace, arch: str, task: ImageTask, training: str, seed: int) -> Self:
        """Returns the facts that are known before the training."""
        splits = task.splits
        (cost,) = space.costs([arch], splits.num_classes, splits.image_shape)
        return cls(
            arch=arch,
            space=space.name,
            dataset=task.source.name,
            num_classes=splits.num_classes,
            image_shape=splits.image_shape,
            mean=splits.mean,
            std=splits.std,
            training=training,
            seed=seed,
            preparation=splits.preparation,
            classes=splits.classes,
            **cost._asdict(),
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what `save` wrote. Raises `UserError` where there is no such file."""
        if not path.exists():
            raise UserError(f"{path} does not describe a trained network; its run must have ended")
        remedy = "remove its folder to train the network again"
        read = read_json(path, _FACTS, remedy)
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in read.items()}
        with reading(path, remedy):
            return cls(**values)

    def save(self, path: Path) -> None:
        """Writes the facts as JSON."""
        write_text(path, json.dumps(asdict(self), indent=2) + "\n")


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network with its weights, on the CPU and in evaluation mode, and its facts."""

    network: nn.Module
    facts: NetworkFacts

    @classmethod
    def of(cls, space: SearchSpace, facts: NetworkFacts, weights: Path) -> Self:
        """Builds the network of `facts` with weights of `save`, or of a checkpoint. Raises `UserError` for others."""
        network = space.build(facts.arch, facts.num_classes).eval()
        load_weights(network, weights, f"the network {facts.arch}")
        return cls(network, facts)

    @classmethod
    def load(cls, folder: Path, space: SearchSpace) -> Self:
        """Reads what `save` wrote; raises `UserError` as `of` and `NetworkFacts.load`, and for another space."""
        facts = NetworkFacts.load(folder / FACTS)
        if facts.space != space.name:
            raise UserError(f"{folder} holds a network of the space {facts.space}, not of {space.name}")
        return cls.of(space, facts, folder / WEIGHTS)

    def save(self, folder: Path) -> None:
        """Writes `network.pt`, the weights alone, and `network.json`, the facts."""
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / WEIGHTS) as temporary:
            torch.save(self.network.state_dict(), temporary)
        self.facts.save(folder / FACTS)

    def measured(self, task: ImageTask, part: str, device: torch.device, batch_size: int) -> float:
        """Returns the accuracy on the images of `part` (`train`, `valid` or `test`), in percent, in float32.

        Raises:
            UserError: where the images have other classes than the network.
        """
        if task.splits.num_classes != self.facts.num_classes:
            raise UserError(
                f"the network has {self.facts.num_classes} classes, and {task.source.name} has "
                f"{task.splits.num_classes}"
            )
        batches = task.evaluation_batches(part, batch_size, device)  # type: ignore[arg-type]
        (accuracy,) = accuracies(self.network.to(device), batches)
        self.network.cpu()
        return accuracy
