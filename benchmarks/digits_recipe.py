"""How well do trainings on the digits rank NAS-Bench-201 cells? Two seeds of one cell should agree on its place.

`python benchmarks/digits_recipe.py recipes` trains random connected cells under several recipes, on one thread;
`python benchmarks/digits_recipe.py table` reads the same figures from the table that the package carries, and what
weak labels and counting convolutions give in its place; `python benchmarks/digits_recipe.py speed` compares the time of
a training by Lightning, as a search asks for it, with that of the loop behind the table. The results are in
`digits_recipe.md`.
"""

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import nn

from acenas.evaluation.from_scratch import TrainingEvaluator
from acenas.images import Augmentation, Digits, ImageTask
from acenas.seeds import numpy_generator
from acenas.spaces.nasbench201.cells import EDGES
from acenas.spaces.nasbench201.space import NasBench201
from acenas.tables import find_table
from acenas.training.recipe import Recipe
from acenas.training.side_by_side import train

SEEDS = (0, 1)


CHOSEN = Recipe(
    epochs=10, batch_size=32, learning_rate=0.3, nesterov=True, weight_decay=5e-4, warmup_epochs=1
)
"""`conf/recipe/digits.yaml`."""


def digits(noise: float = 0.8, shift: int = 1, draws: int = 4) -> ImageTask:
    """The digits, made harder; by default as in `conf/images/digits.yaml`."""
    harder = Augmentation(padding=shift, noise=noise)
    return ImageTask(Digits(), harder, harder, draws)


@dataclass(frozen=True)
class Candidate:
    """A recipe, its images, and the skeleton that it trains."""

    title: str
    recipe: Recipe = CHOSEN
    images: ImageTask = field(default_factory=digits)
    channels: int = 16
    cells: int = 1

    def builder(self, arch: str) -> Callable[[], nn.Module]:
        """Makes networks of `arch` in this skeleton."""
        space = NasBench201(channels=self.channels, cells_per_stage=self.cells, stages=1, in_channels=1)
        return lambda: space.build(arch, self.images.splits.num_classes)


CANDIDATES = [
    Candidate("chosen: 1 cell of 16 channels, noise 0.8, shift 1"),
    Candidate("batches of 64", replace(CHOSEN, batch_size=64)),
    Candidate("clean images, 3 epochs", CHOSEN.over(3), digits(noise=0.0, shift=0, draws=1)),
    Candidate("8 channels", channels=8),
    Candidate("2 cells of 8 channels, noise 1", images=digits(noise=1.0), channels=8, cells=2),
]


def connected(operations: tuple[str, ...]) -> bool:
    """Whether the cell's input reaches its output."""
    reached = {0}
    for (source, target), operation in zip(EDGES, operations, strict=True):
        if source in reached and operation != "none":
            reached.add(target)
    return 3 in reached


def correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(spearmanr(x, y)[0])


def places(test: NDArray[np.float64], share: float) -> NDArray[np.bool_]:
    """`[A]` bool: the best `share` of the cells by mean test accuracy; `test` is `[A, seeds]`."""
    mean = test.mean(axis=1)
    return np.asarray(mean >= np.quantile(mean, 1 - share))


def training_share(valid: NDArray[np.float64], test: NDArray[np.float64]) -> float:
    """Standard deviation, in percent points, of the training of one cell alone, without that of finite images.

    Both differences between two trainings hold what training changed; the noise of the two sets of images is
    independent, so their covariance is twice the variance of training.
    """
    product = (valid[:, 0] - valid[:, 1]) * (test[:, 0] - test[:, 1])
    return float(np.sqrt(max(product.mean() / 2, 0)))


def line(
    title: str, valid: NDArray[np.float64], test: NDArray[np.float64], kernels: NDArray[np.float64]
) -> str:
    """One row of the table of recipes."""
    cells = [title]
    for share in (1.0, 1 / 3):
        best = places(test, share)
        cells.append(f"{correlation(valid[best, 0], valid[best, 1]):.3f}")
    best = places(test, 1 / 3)
    cells.append(f"{training_share(valid[best], test[best]):.2f} / {test[best].mean(axis=1).std():.2f}")
    cells.append(f"{correlation(kernels, test.mean(axis=1)):.3f}")
    low, middle, high = np.quantile(test.mean(axis=1), [0.1, 0.5, 1.0])
    cells.append(f"{low:.1f} / {middle:.1f} / {high:.1f}")
    return "| " + " | ".join(cells)


def random_cells(count: int) -> list[str]:
    space = NasBench201()
    distinct = sorted({space.canonical(arch) for arch in space.enumerate()})
    archs = [arch for arch in distinct if connected(space.operations(arch))]
    chosen = numpy_generator(0, "digits_recipe").choice(len(archs), count, replace=False)
    return [archs[i] for i in chosen]


def compare_recipes(count: int) -> None:
    torch.set_num_threads(1)
    archs = random_cells(count)
    kernels = np.array([kernel_weights(arch) for arch in archs], dtype=np.float64)
    print(f"{count} connected cells, seeds {SEEDS}, one thread, torch {torch.__version__}\n")
    print("| recipe | Spearman of two seeds, all | best third | sd of training / of cells, best third | "
          "3 x 3 and 1 x 1 weights alone | test accuracy: 10 % / median / best | CPU-seconds a training |")  # fmt: skip
    print("|" + "---|" * 7)
    for candidate in CANDIDATES:
        start = time.process_time()
        results = [
            train(candidate.builder(arch), candidate.recipe, candidate.images, SEEDS) for arch in archs
        ]
        seconds = (time.process_time() - start) / (count * len(SEEDS))
        valid = np.array([[a.valid for a in pair] for pair in results])
        test = np.array([[a.test for a in pair] for pair in results])
        print(line(candidate.title, valid, test, kernels) + f" | {seconds:.2f} |", flush=True)


def kernel_weights(arch: str) -> int:
    """Weights of all kernels, in units of those of a 1 x 1 convolution: what counting convolutions gives."""
    return 9 * arch.count("nor_conv_3x3") + arch.count("nor_conv_1x1")


def read_table(name: str) -> None:
    space, frame = NasBench201(), pd.read_parquet(find_table(name))
    frame = frame[[connected(space.operations(arch)) for arch in frame["arch"]]]
    columns = [str(column) for column in frame.columns]
    valid, test = (
        frame[[c for c in columns if c.startswith(f"digits.{split}.") and ".s" in c]].to_numpy(
            dtype=np.float64
        )
        for split in ("valid", "test")
    )
    (observed_column,) = (c for c in columns if c.startswith("digits.observed."))
    observed, mean = frame[observed_column].to_numpy(dtype=np.float64), test.mean(axis=1)
    print(f"{name}: {len(frame)} connected cells\n")
    print(
        "| cells | number | Spearman of two seeds | observed with mean test | sd of training | sd of cells |"
    )
    print("|" + "---|" * 6)
    for title, share in (("all", 1.0), ("best third", 1 / 3), ("best 10 %", 0.1), ("best 5 %", 0.05)):
        best = places(test, share)
        print(
            f"| {title} | {best.sum()} | {correlation(valid[best, 0], valid[best, 1]):.3f} "
            f"| {correlation(observed[best], mean[best]):.3f} | {training_share(valid[best], test[best]):.2f} "
            f"| {mean[best].std():.2f} |"
        )
    print("\n| label | Spearman with mean test, all | best 10 % | with observed, all | best 10 % |")
    print("|" + "---|" * 5)
    labels = {
        "number of convolutions": frame["arch"].str.count("nor_conv"),
        "weights of the convolutions": frame["arch"].map(kernel_weights),
        **{
            c: frame[c]
            for c in columns
            if c in ("digits.params_m", "digits.flops_m") or c.startswith("weak.")
        },
    }
    best = places(test, 0.1)
    for title, label in labels.items():
        values = label.to_numpy(dtype=np.float64)
        figures = [
            correlation(values[part], y[part]) for y in (mean, observed) for part in (slice(None), best)
        ]
        print(f"| {title} | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |")


def compare_speed(count: int) -> None:
    torch.set_num_threads(1)
    space, images = NasBench201(16, 1, 1, in_channels=1), digits()
    ways: dict[str, list[float]] = {"loop, two seeds side by side": [], "loop, one seed": [], "Lightning": []}

    def cpu_seconds(work: Callable[[], object]) -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    with tempfile.TemporaryDirectory() as folder:
        evaluator = TrainingEvaluator(space, images, CHOSEN, folder, accelerator="cpu")
        folders = (Path(folder, str(number)) for number in itertools.count())
        train_one = partial(evaluator.train, goes_on=lambda curve: True)
        train_one(space.canonical(space.enumerate()[0]), 0, next(folders))  # imports
        for arch in random_cells(count):
            build = partial(space.build, arch, images.splits.num_classes)
            for name, seeds in (("loop, two seeds side by side", SEEDS), ("loop, one seed", SEEDS[:1])):
                ways[name].append(cpu_seconds(partial(train, build, CHOSEN, images, seeds)) / len(seeds))
            ways["Lightning"].append(cpu_seconds(partial(train_one, arch, 0, next(folders))))
    alone = np.array(ways["loop, one seed"])
    print(f"{count} connected cells, one thread, torch {torch.__version__}\n")
    print("| way | median CPU-seconds a training | median over the loop with one seed |\n|---|---|---|")
    for name, seconds in ways.items():
        print(f"| {name} | {np.median(seconds):.2f} | {np.median(np.array(seconds) / alone):.2f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["recipes", "table", "speed"])
    parser.add_argument(
        "--cells", type=int, default=60, help="cells to train under each recipe, or in each way"
    )
    parser.add_argument("--table", default="nb201_digits", help="name or path of the table to read")
    arguments = parser.parse_args()
    if arguments.what == "recipes":
        compare_recipes(arguments.cells)
    elif arguments.what == "speed":
        compare_speed(arguments.cells)
    else:
        read_table(arguments.table)
