"""Speed and memory of the imports of NAS-Bench-201, NATS-Bench and NDS (NAS-Bench-101's are in `nb101_speed`).

    OMP_NUM_THREADS=1 python -m benchmarks.imports [--cells 300] [--trainings 5000]

Makes files in the official formats with made-up numbers: N cells with the curves of two seeds, and a file of NDS of
5,000 trainings. Each import runs in a process of its own, for its own peak memory; seconds are of the processor.
"""

import argparse
import bz2
import json
import os
import pickle
import random
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.nb101_speed import Clock, apart, peak

SETS = {
    "cifar10-valid": ("x-valid", "ori-test"),
    "cifar10": ("ori-test",),
    "cifar100": ("x-valid", "x-test", "ori-test"),
    "ImageNet16-120": ("x-valid", "x-test", "ori-test"),
}
RNG = random.Random(0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", type=int, default=300)
    parser.add_argument("--trainings", type=int, default=5000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        apart(make_nasbench201, folder, options.cells)
        for source in ("new.pth", "old.pth", "nats"):
            apart(measure_nasbench201, folder / source, folder / "out.parquet")
        apart(make_nds, folder / "ENAS.json", options.trainings)
        apart(measure_nds, folder / "ENAS.json", folder / "out.parquet")


def curve(epochs: int) -> dict[int, float]:
    return {epoch: RNG.uniform(0, 100) for epoch in range(epochs)}


def trial(dataset: str, epochs: int, seed: int) -> dict[str, Any]:
    first, *others = SETS[dataset]
    evaluated = {f"{first}@{epoch}": value for epoch, value in curve(epochs).items()}
    evaluated |= {f"{other}@{epochs - 1}": RNG.uniform(0, 100) for other in others}
    return {
        "name": dataset,
        "net_state_dict": None,
        "train_acc1es": curve(epochs),
        "train_acc5es": None,
        "train_losses": curve(epochs),
        "train_times": OrderedDict(curve(epochs)),
        "arch_config": {"channel": 16, "num_cells": 5, "class_num": 10},
        "params": np.float64(1.0),
        "flop": 15.5,
        "seed": f"0{seed}",
        "epochs": epochs,
        "latency": [np.float64(0.01)],
        "eval_names": list(SETS[dataset]),
        "eval_acc1es": evaluated,
        "eval_losses": {f"{name}"[:-1] + name[-1]: RNG.random() for name in evaluated},  # keys of their own
        "eval_times": {f"{name}"[:-1] + name[-1]: RNG.random() for name in evaluated},
    }


def state(arch: str, index: int, epochs: int, seeds: list[int]) -> dict[str, Any]:
    return {
        "arch_index": index,
        "arch_str": arch,
        "all_results": {(name, seed): trial(name, epochs, seed) for name in SETS for seed in seeds},
        "dataset_seed": dict.fromkeys(SETS, seeds),
        "clear_net_done": True,
    }


def make_nasbench201(folder: Path, cells: int) -> None:
    import torch

    from acenas.spaces import NasBench201

    archs = list(NasBench201().enumerate()[:cells])
    infos = {
        index: {"less": state(arch, index, 12, [111]), "full": state(arch, index, 200, [777, 888])}
        for index, arch in enumerate(archs)
    }
    content = {"meta_archs": archs, "arch2infos": infos, "evaluated_indexes": list(infos)}
    torch.save(content, folder / "new.pth")
    torch.save(content, folder / "old.pth", _use_new_zipfile_serialization=False)
    (folder / "nats").mkdir()
    meta = {"meta_archs": archs, "total_archs": cells, "arch2infos": None, "evaluated_indexes": set()}
    (folder / "nats" / "meta.pickle.pbz2").write_bytes(bz2.compress(pickle.dumps(meta, protocol=4)))
    for index, info in infos.items():
        packed = bz2.compress(pickle.dumps({"12": info["less"], "200": info["full"]}, protocol=4))
        (folder / "nats" / f"{index:06d}.pickle.pbz2").write_bytes(packed)


def measure_nasbench201(source: Path, out: Path) -> None:
    from acenas.spaces import NasBench201
    from acenas.tables.importers.nasbench201 import import_nasbench201

    space, before = NasBench201(), peak()
    files = list(source.iterdir()) if source.is_dir() else [source]
    size = sum(file.stat().st_size for file in files) / 1e6
    clock = Clock(f"NAS-Bench-201, {source.name}, {size:.0f} MB")
    with clock:
        cells = import_nasbench201(source, out, space)
    speed = f"{cells / clock.seconds:,.0f} cells, {size / clock.seconds:.1f} MB a second"
    print(f"{speed}; {peak() - before:,.0f} MB above {before:,.0f}")


def make_nds(path: Path, trainings: int) -> None:
    """As large as the description lets one expect: four curves of 100 epochs each."""
    from acenas.spaces.nds.cells import FAMILIES

    family = FAMILIES["enas"]
    with path.open("w") as file:
        for number in range(trainings):
            genotype: dict[str, Any] = {}
            for name in ("normal", "reduce"):
                pairs = [[RNG.choice(family.operations), RNG.randrange(i // 2 + 2)] for i in range(10)]
                read = {source for _, source in pairs}
                genotype |= {name: pairs, f"{name}_concat": [i for i in range(2, 7) if i not in read]}
            errors = [90 - 80 * epoch / 100 + RNG.random() for epoch in range(100)]
            record = {
                "job_id": number,
                "rng_seed": 1,
                "net": {
                    "genotype": genotype,
                    "width": RNG.choice((16, 24, 32)),
                    "depth": RNG.choice((4, 8, 20)),
                },
                "optim": {"base_lr": 0.1, "wd": 5e-4, "max_ep": 100},
                "params": 1_000_000,
                "flops": 100_000_000,
                "min_test_top1": min(errors),
                "test_ep_top1": errors,
                "train_ep_top1": errors,
                "train_ep_loss": errors,
                "train_it_loss": [RNG.random() for _ in range(2000)],
            }
            file.write(("[" if number == 0 else ", ") + json.dumps(record))
        file.write("]")


def measure_nds(source: Path, out: Path) -> None:
    from acenas.spaces.nds.cells import FAMILIES, from_genotype
    from acenas.tables.importers.nds import import_nds

    before, size = peak(), source.stat().st_size / 1e6
    clock = Clock(f"NDS, {size:.0f} MB")
    with clock:
        imported = import_nds(
            source, out, lambda family: lambda *fields: str(from_genotype(FAMILIES[family], *fields))
        )
    print(
        f"{imported.trainings / clock.seconds:,.0f} trainings a second, {peak() - before:,.0f} MB above {before:,.0f}"
    )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
