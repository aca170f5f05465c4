"""Small tables with the names and columns of real ones, which no test may download; their accuracies are invented."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from acenas.spaces import NDS, MobileNet, NasBench101
from acenas.tables import BenchmarkTable, TableMetadata, find_table, write_table

NB201_COLUMNS = {
    "cifar10": ("valid.200", "test.200"),
    "cifar100": ("observed.200", "test.200"),
    "imagenet16": ("valid.200", "test.200"),
}
NDS_FIXED = ("darts", "enas", "pnas")
"""Families of NDS with a file of one width and depth."""


def write_nb201(folder: Path) -> None:
    """300 cells; each data set has the accuracies on digits."""
    embedded = BenchmarkTable.open(find_table("nb201_digits"))
    rows = np.random.default_rng(0).permutation(len(embedded))[:300]
    frame = pd.DataFrame({"arch": [embedded.archs[i] for i in rows]})
    for dataset, (observed, test) in NB201_COLUMNS.items():
        frame[f"{dataset}.{observed}"] = embedded.column("digits.observed.10")[rows]
        frame[f"{dataset}.{test}"] = embedded.column("digits.test.10")[rows]
        for cost in ("params_m", "flops_m"):
            frame[f"{dataset}.{cost}"] = embedded.column(f"digits.{cost}")[rows]
    frame["cifar10.latency_ms.pixel3"] = 10 + 10 * frame["cifar10.flops_m"]
    frame["weak.supernet.c16.e1000.s0"] = embedded.column("weak.supernet.s0")[rows]
    write_table(frame, folder / "nb201.parquet", TableMetadata("nasbench201", source="digits"))


def write_nb101(folder: Path) -> None:
    """The sample and the whole benchmark; convolutions are good, early and late."""
    space = NasBench101(distribution="published")
    archs = list(dict.fromkeys(space.sample(60, torch.Generator().manual_seed(0))))
    good = np.array([arch.count("conv3x3") - arch.count("max") + len(arch) / 100 for arch in archs])
    frame = pd.DataFrame({"arch": archs, "cifar10.params_m": good - good.min() + 1})
    noise = np.random.default_rng(0)
    for epochs, scale in ((4, 2.0), (12, 1.0), (108, 0.3)):
        for split in ("valid", "observed", "test"):
            frame[f"cifar10.{split}.{epochs}"] = 50 + 3 * good + noise.normal(0, scale, len(good))
    metadata = TableMetadata(space.name)
    write_table(frame, folder / "nb101.parquet", metadata)
    sample = [name for name in frame if not {"observed", "test"} & set(str(name).split("."))]
    write_table(frame[sample], folder / "nb101-sample.parquet", metadata)


def write_nds(
    folder: Path,
    families: Sequence[str] = ("amoeba", "darts", "enas", "nasnet", "pnas"),
    variants: Sequence[str] = ("cifar10", "cifar10_fixed", "imagenet"),
    **sizes: Sequence[int],
) -> None:
    """A table for every variant of every space, with the columns of the importer; larger networks are better.

    `sizes` are widths and depths in place of the variant's.
    """
    files = {"cifar10": ("", 100), "cifar10_fixed": ("_fix-w-d", 100), "imagenet": ("_in", 50)}
    for family, variant in itertools.product(families, variants):
        ending, epochs = files[variant]
        if variant == "cifar10_fixed" and family not in NDS_FIXED:
            continue
        dataset = variant.removesuffix("_fixed")
        space = NDS(family, variant, **sizes)  # type: ignore[arg-type]
        archs = space.sample(24, torch.Generator().manual_seed(0))
        params = np.array([arch.count("conv") + len(arch) / 1000 for arch in archs])
        good = 50 + params + np.random.default_rng(0).normal(0, 1, len(params))
        frame = pd.DataFrame(
            {"arch": archs, f"{dataset}.observed.{epochs}": good, f"{dataset}.test.{epochs}": good}
        )
        frame[f"{dataset}.params_m"], frame[f"{dataset}.flops_m"] = params, params**2
        write_table(frame, folder / f"{space.name}{ending}.parquet", TableMetadata(space.name))


def write_suite(folder: Path) -> None:
    """The files of other benchmarks that `tasks=suite` imports, 30 architectures each; some are there twice."""
    rng = np.random.default_rng(0)

    def of(*values: object) -> str:
        return str(values[rng.integers(len(values))])

    def parts(count: int, *choices: tuple[str, Sequence[object]]) -> str:
        return "-".join("".join(name + of(*values) for name, values in choices) for _ in range(count))

    mobile = (("e", (1, 4, 6)), ("k", (3, 5)), ("l", (1, 2, 3)), ("s", (0, 1)))
    small = (("k", (1, 3)), ("w", (12, 16, 40)), ("s", (1, 2)), ("", ("", "r")))
    digits = [[of(0, 1, 2, 3) for _ in range(6)] for _ in range(30)]
    layers = [10 + i % 3 for i in range(30)]
    heads = [
        (",".join(of(4, 8, 12) for _ in range(n)), ",".join(of(2, 3, 4) for _ in range(n))) for n in layers
    ]
    cells = [
        {
            f"n{i}": {"op": of("linear", "blend"), "input": [f"n{i - 1}" if i else "x"]}
            for i in range(1 + size % 8)
        }
        for size in range(60)
    ]
    archs = {
        "transnas-micro": [f"64-41414-{a}_{b}{c}_{d}{e}{f}" for a, b, c, d, e, f in digits],
        "naap440-curves": [parts(3 + i % 2, *small) for i in range(30)],
        "accel-imagenet": [parts(7, *mobile) for _ in range(30)],
        "gpt-s": [f"d{of(192, 768)}-L{n}-h{h}-m{m}-b0" for n, (h, m) in zip(layers, heads, strict=True)],
        "rnn-wikitext2": [json.dumps(cell) for cell in cells],
    }
    tasks = ("class_scene.{}_top1", "jigsaw.{}_top1", "autoencoder.{}_ssim")
    columns = {
        "transnas-micro": [task.format(split) for task in tasks for split in ("valid", "test")],
        "naap440-curves": ["cifar10.params_m", "cifar10.flops_m", "cifar10.test.90"],
        "accel-imagenet": ["imagenet.valid.proxy", "imagenet.params_m", "imagenet.flops_m"],
        "gpt-s": ["supernet.perplexity", "params", "flops", "energy.a100.mean_energy_gpu"],
        "rnn-wikitext2": ["wt2.valid_loss.best", "wt2.params_m"],
    }
    for name, names in columns.items():
        frame = pd.DataFrame({"arch": archs[name]})
        frame = frame if name == "rnn-wikitext2" else frame.drop_duplicates(ignore_index=True)
        for column in names:
            frame[column] = 2 + 40 * rng.random(len(frame))
        if name == "rnn-wikitext2":
            frame.loc[::9, "wt2.valid_loss.best"] = np.nan  # their trainings have failed
        if name == "naap440-curves":
            for epochs in (3, 10, 30):
                frame[f"cifar10.test.{epochs}"] = frame["cifar10.test.90"] * (1 - 1 / epochs)
            frame.to_csv(folder / f"{name}.csv", index=False)
        else:
            frame.to_parquet(folder / f"{name}.parquet", index=False)


def write_tunas_csv(path: Path, archs: list[str]) -> None:
    """A file in the form of AceNAS' `tunas-proxylessnas-search.csv`."""
    space = MobileNet()
    costs = np.array(space.costs(archs, 1000, (3, 224, 224)))
    accuracy = 0.73 + 0.03 * (costs[:, 1] - costs[:, 1].min()) / np.ptp(costs[:, 1])
    pd.DataFrame(
        {
            "ssd": "proxylessnas_search",
            "indices": [space.to_indices(arch) for arch in archs],
            "simulated_pixel1_time_ms": 84 + accuracy,
            "90epoch_validation_accuracy": accuracy,
        }
    ).to_csv(path, index=False)
