"""Generated image files, and a training of a small network on them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from acenas.images import Augmentation, ImageFolder, ImageTask, RandomDivision
from acenas.images.files import Crops
from acenas.spaces import NasBench201
from acenas.training.final import FinalTraining
from acenas.training.processes import Hardware
from acenas.training.recipe import RMSPropRecipe

SPACE = NasBench201(channels=4, cells_per_stage=1, stages=1)
ARCH = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|nor_conv_1x1~1|none~2|"
RECIPE = RMSPropRecipe(
    epochs=3, batch_size=8, learning_rate=0.05, weight_decay=1e-3, warmup_epochs=1, warmup_from=0.01,
    label_smoothing=0.1, eps=0.1,
)  # fmt: skip
CLASSES = ("blue", "green", "red")


def write_images(folder: Path, per_class: int, seed: int = 0) -> None:
    """Noisy pictures of various sizes, each class of one colour."""
    random = np.random.default_rng(seed)
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for i in range(per_class):
            height, width = random.integers(10, 30, 2)
            pixels = random.integers(0, 120, (height, width, 3))
            pixels[..., 2 - number] += 100
            kind = ("jpg", "png", "JPEG")[i % 3]
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{name}_{i}.{kind}")


def write_data(root: Path) -> None:
    """36 training and 9 test images."""
    write_images(root / "train", 12)
    write_images(root / "val", 3, seed=1)


def task(root: Path, augmentation: Augmentation | None = None, **options: Any) -> ImageTask:
    """9 of the training images are to validate on."""
    source = ImageFolder(
        root,
        "train",
        "val",
        RandomDivision("train", (None, 9)),
        mean=(120.0, 120.0, 120.0),
        std=(60.0, 60.0, 60.0),
        name="colours",
        **{"crops": Crops(size=8, scale=(0.3, 1.0)), "workers": 0, **options},
    )
    return ImageTask(source, augmentation or Augmentation())


def training(root: Path, devices: int = 1, **options: Any) -> FinalTraining:
    recipe = replace(RECIPE, **options.pop("recipe", {}))
    return FinalTraining(
        SPACE,
        ARCH,
        options.pop("task", None) or task(root),
        recipe,
        Hardware(devices=devices, precision="64-true"),
        **{"seed": 3, "device_batch": 4, **options},
    )
