"""What part of a training step goes into its images: cutting the batch, cropping, flipping, noise, normalising.

A step is forward, backward and SGD of a NAS-Bench-201 network, with the images on its device. The images are CIFAR-10's
where ACENAS_DATA names a folder that holds them (`images=cifar10_parquet`), and random bytes of their shape elsewhere,
which takes as long; digits come with scikit-learn.

    OMP_NUM_THREADS=1 python benchmarks/image_pipeline.py [--device cpu] [--repeats 3]

On a CPU times are of the processor, all threads together, so that other work on the machine does not change the shares;
on a GPU they are of the wall clock, with the device waited for before and after.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from acenas.images import (
    Augmentation,
    Digits,
    EncodedImages,
    ImageBatches,
    Images,
    ImageSplits,
    RandomDivision,
)
from acenas.spaces import NasBench201
from acenas.training.recipe import Recipe

ALL_CONV3X3 = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
)
MEDIAN = "|nor_conv_1x1~0|+|skip_connect~0|nor_conv_3x3~1|+|nor_conv_1x1~0|skip_connect~1|nor_conv_1x1~2|"
"""A cell with the median FLOPs of all distinct ones (56.9 M on CIFAR-10), and their median accuracy."""

MEAN, STD = (125.3, 123.0, 113.9), (63.0, 62.1, 66.7)


@dataclass
class Case:
    """A network, its images and the batch size of a step."""

    name: str
    arch: str
    space: NasBench201
    source: str
    splits: ImageSplits
    augmentation: Augmentation
    batch_size: int
    steps: int  # measured at a time


def cases() -> Iterator[Case]:
    space, (source, splits) = NasBench201(), cifar10()
    usual, cutout = Augmentation(padding=4, flip=True), Augmentation(padding=4, flip=True, cutout=16)
    yield Case("all conv 3x3", ALL_CONV3X3, space, source, splits, usual, 192, 1)
    yield Case("median cell", MEDIAN, space, source, splits, usual, 192, 1)
    yield Case("median cell, cutout too", MEDIAN, space, source, splits, cutout, 192, 1)
    space, splits = NasBench201(channels=16, cells_per_stage=1, stages=1, in_channels=1), Digits().load()
    noisy = Augmentation(padding=1, noise=0.8)
    yield Case("all conv 3x3, one cell", ALL_CONV3X3, space, "digits", splits, noisy, 32, 30)
    yield Case("median cell, one cell", MEDIAN, space, "digits", splits, noisy, 32, 30)


def cifar10() -> tuple[str, ImageSplits]:
    """CIFAR-10 under its name, or random bytes under theirs."""
    root = os.environ.get("ACENAS_DATA")
    if root is None or not (Path(root) / "cifar10" / "train.parquet").is_file():
        images = torch.randint(256, (10_000, 3, 32, 32), dtype=torch.uint8)
        part = Images(images, torch.randint(10, (len(images),)))
        return "random bytes", ImageSplits(part, part, part, 10, MEAN, STD)
    division = RandomDivision("train", (25_000, 25_000))
    files = ("cifar10/train.parquet", "cifar10/test.parquet")
    return "cifar10", EncodedImages(root, *files, division, 10, MEAN, STD, "cifar10").load()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), help="one device only; all that there are otherwise"
    )
    parser.add_argument("--repeats", type=int, default=3, help="measurements, of which the median is shown")
    options = parser.parse_args()
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    for device in [options.device] if options.device else devices:
        name = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} CPU threads"
        print(f"{name}, torch {torch.__version__}")
        print(f"{'network':24} {'images':12} {'batch':>5} {'images ms':>10} {'step ms':>10} {'share':>7}")
        for case in cases():
            images, step = measured(case, torch.device(device), options.repeats)
            times = f"{images * 1e3:10.2f} {step * 1e3:10.2f} {images / (images + step):7.2%}"
            print(f"{case.name:24} {case.source:12} {case.batch_size:5} {times}")


def measured(case: Case, device: torch.device, repeats: int) -> tuple[float, float]:
    """Seconds of a batch on its way into the network, and of a step with it; measured in turns."""
    network = case.space.build(case.arch, case.splits.num_classes).to(device).train()
    recipe = Recipe(
        epochs=1, batch_size=case.batch_size, learning_rate=0.05, weight_decay=1e-4, gradient_clip=5.0
    )
    optimizer = recipe.optimizer(network)
    resident = case.splits.train.to(device)
    generator = torch.Generator(device).manual_seed(0)
    steps = case.steps if device.type == "cpu" else max(case.steps, 20)

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        order = torch.Generator().manual_seed(0)
        while True:
            for images, labels in ImageBatches(resident, case.batch_size, order):
                yield case.augmentation(images, case.splits, generator), labels

    batch = batches()
    images, labels = next(batch)

    def step() -> None:
        optimizer.zero_grad()
        torch.autograd.backward(recipe.loss(network(images), labels))
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()

    times = [
        (elapsed(lambda: next(batch), steps, device), elapsed(step, steps, device))
        for _ in range(repeats + 1)
    ][1:]  # the first is a rehearsal
    return statistics.median(first for first, _ in times), statistics.median(second for _, second in times)


def elapsed(function: Callable[[], object], times: int, device: torch.device) -> float:
    """Seconds of one call."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    start = clock()
    for _ in range(times):
        function()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (clock() - start) / times


if __name__ == "__main__":
    main()
