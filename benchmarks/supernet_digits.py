"""How well super-nets on digits rank cells, beside labels that need no training: the table of supernet_digits.md.

The truth is the observed accuracy of the package's own table, of networks trained one by one; measured over all of
its cells whose output depends on their input. Minutes to an hour, by the number of recipes:

    OMP_NUM_THREADS=1 python benchmarks/supernet_digits.py [--only "strictly fair (default)"] [--seeds 3]
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from numpy.typing import NDArray
from scipy.stats import kendalltau

from acenas.run.config import conf_dir
from acenas.spaces import NasBench201
from acenas.supernet import FairPaths, Scoring, SupernetTraining, UniformPaths
from acenas.tables import BenchmarkTable, find_table

TRUTH = "digits.observed.10"
WITHOUT_TRAINING = {
    "FLOPs": "digits.flops_m",
    "parameters": "digits.params_m",
    "synflow": "weak.synflow",
    "naswot": "weak.naswot",
    "one epoch of each cell": "weak.short",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", help="one row of the table")
    parser.add_argument("--seeds", type=int, default=3, help="super-nets of the default recipe")
    arguments = parser.parse_args()
    default, scoring = configured()
    table = BenchmarkTable.open(find_table("nb201_digits"))
    space = default.space
    assert isinstance(space, NasBench201)
    archs = [arch for arch in table.archs if space.connected(arch)]
    truth = table.lookup(archs, TRUTH)
    print(
        f"{len(archs)} cells, {default.task.source.name}; Kendall with {TRUTH}; percent, seconds of one thread"
    )
    print("| label | seed | Kendall | of the loss | mean accuracy | training | scoring |")
    print("|---|---|---|---|---|---|---|")
    if not arguments.only:
        convolutions = [sum("conv" in name for name in space.operations(arch)) for arch in archs]
        print(f"| count of convolutions | | {kendall(convolutions, truth):.3f} | | | | |")
        for name, column in WITHOUT_TRAINING.items():
            print(f"| {name} | | {kendall(table.lookup(archs, column), truth):.3f} | | | | |")
    recipe, epochs = default.recipe, default.recipe.epochs
    uniform, connected = UniformPaths(), UniformPaths(connected_only=True)
    five_times = replace(
        recipe, epochs=5 * epochs, warmup_epochs=5 * recipe.warmup_epochs
    )  # as many paths in all
    half, quarter = (
        replace(recipe, epochs=epochs // n, warmup_epochs=recipe.warmup_epochs / n) for n in (2, 4)
    )
    rows = {
        "strictly fair (default)": (default, scoring),
        "a quarter of the epochs": (replace(default, recipe=quarter), scoring),
        "half of the epochs": (replace(default, recipe=half), scoring),
        "twice the epochs": (replace(default, recipe=replace(recipe, epochs=2 * epochs)), scoring),
        "recalibrated": (default, replace(scoring, batch_norm="recalibrated")),
        "fair, connected only": (replace(default, sampler=FairPaths(connected_only=True)), scoring),
        "fair, averaged over all paths": (replace(default, average="paths"), scoring),
        "uniform, same paths in all": (replace(default, sampler=uniform, recipe=five_times), scoring),
        "uniform, connected only": (replace(default, sampler=connected, recipe=five_times), scoring),
    }
    for name, (training, its_scoring) in rows.items():
        if arguments.only in (None, name):
            for seed in range(arguments.seeds if training is default and its_scoring is scoring else 1):
                print(
                    f"| {name} | {seed} | {measured(replace(training, seed=seed), its_scoring, archs, truth)} |"
                )


def configured() -> tuple[SupernetTraining, Scoring]:
    """The recipe and the scoring of conf/ for digits, on one CPU."""
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        cfg = compose("config", ["experiment=digits_supernet", "trainer.accelerator=cpu"])
    return instantiate(cfg.supernet), instantiate(cfg.scoring)


def measured(
    training: SupernetTraining, scoring: Scoring, archs: Sequence[str], truth: NDArray[np.float64]
) -> str:
    """Trains, scores `archs`, and says how well that ranks them."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        network = training.run(folder)
        trained = time.process_time()
        labels = replace(scoring, archs=archs).run(network, Path(folder) / "labels", training.description)
        scored = time.process_time()
    accuracy, loss = labels.values(archs).T
    return (
        f"{kendall(accuracy, truth):.3f} | {kendall(-loss, truth):.3f} | {accuracy.mean():.1f} | "
        f"{trained - start:.0f} | {scored - trained:.0f}"
    )


def kendall(label: Sequence[float] | NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Kendall's tau-b."""
    return float(kendalltau(label, truth)[0])


if __name__ == "__main__":
    main()
