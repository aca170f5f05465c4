"""How fast NAS-Bench-101 is: the space, its ranking, the import of a file of full size, and looking cells up.

    OMP_NUM_THREADS=1 python -m benchmarks.nb101_speed [--cells N] [--epochs 108]

Makes a file of made-up accuracies for N cells (all 423,624), three trainings for each number of epochs (`--epochs
4,12,36,108` gives the size of the full file, 2 GB). Each part runs in a process of its own, for its own peak memory;
seconds are of the processor.
"""

import argparse
import multiprocessing
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from google_crc32c import value as crc32c

from acenas.tables import BenchmarkTable
from tests.tables.importers import tfrecords


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", type=int, default=423_624)
    parser.add_argument("--epochs", default="108")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "nb101.tfrecord", Path(folder) / "nb101.parquet"
        os.environ["XDG_CACHE_HOME"] = folder
        apart(measure_space)
        apart(make_file, file, options.cells, [int(epochs) for epochs in options.epochs.split(",")])
        apart(measure_import, file, out)
        apart(measure_lookup, out)


def apart(function: Callable[..., None], *arguments: object) -> None:
    process = multiprocessing.get_context("spawn").Process(target=function, args=arguments)
    process.start()
    process.join()


class Clock:
    """Prints what a block took, of the processor, and the peak memory until its end."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        self.start = time.process_time()

    def __exit__(self, *_: object) -> None:
        self.seconds = time.process_time() - self.start
        print(f"{self.what:40} {self.seconds:7.2f} s, peak {peak():5.0f} MB", flush=True)


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def measure_space() -> None:
    import torch

    from acenas.ranker import Finetuning, GraphRanker
    from acenas.spaces import NasBench101

    space = NasBench101()
    with Clock("enumerating the space"):
        archs = space.enumerate()
    with Clock("encoding it"):
        graphs = space.encode(archs)
    ranker = GraphRanker(space, finetuning=Finetuning(passes=1))
    ranker.finetune(graphs[:20], torch.arange(20.0), round=1)
    with Clock("scoring it"):
        ranker.score(graphs)
    with Clock("its official hashes"):
        space.official_hashes()
    with Clock("its official hashes, cached"):
        NasBench101().official_hashes()


def make_file(path: Path, cells: int, lengths: list[int]) -> None:
    from acenas.spaces import NasBench101

    tfrecords.crc32c = crc32c  # the tests' own is slow
    space, rng = NasBench101(), random.Random(0)
    archs = space.enumerate()[-cells:]
    hashes = space.official_hashes()[-cells:]
    with path.open("wb") as file:
        for _ in range(3):
            for epochs in lengths:
                for arch, module_hash in zip(archs, hashes, strict=True):
                    valid, test = rng.randrange(9984) / 9984, rng.randrange(9984) / 9984
                    record = tfrecords.record(module_hash, epochs, arch, valid, test, 1000.0, 8_555_530)
                    file.write(tfrecords.frame(record))
    print(f"a file of {path.stat().st_size / 1e6:,.0f} MB")


def measure_import(file: Path, out: Path) -> None:
    from acenas.spaces import NasBench101
    from acenas.tables.importers.nasbench101 import import_nasbench101

    space = NasBench101()
    print(f"{'before the import':51} peak {peak():5.0f} MB")
    clock = Clock("importing it")
    with clock:
        imported = import_nasbench101(file, out, space)
    print(f"{imported.records:,} records, {imported.records / clock.seconds:,.0f} a second")
    print(f"a table of {out.stat().st_size / 1e6:,.0f} MB")


def measure_lookup(out: Path) -> None:
    before = peak()
    with Clock("opening the table, looking 1,000 cells up"):
        table = BenchmarkTable.open(out, columns=["cifar10.observed.108"])
        table.lookup(table.archs[:1000], "cifar10.observed.108")
    print(f"over the interpreter with pyarrow: {peak() - before:.0f} MB")


if __name__ == "__main__":
    main()
