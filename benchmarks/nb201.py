"""Measures the main job on the real NAS-Bench-201: what pretraining, LambdaRank and the rounds each bring, over seeds.

    python benchmarks/nb201.py --data-dir FOLDER

Each run is the command a user would give, so this resumes, and shows at once what was already measured.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed

METHODS: dict[str, list[str]] = {
    "acenas": [],
    "no pretraining": ["weak_labels=[]"],
    "MSE in place of LambdaRank": ["loss=mse"],
    "the paper's rounds, half of each at random": ["search=half_best"],
}
DATASETS = ("cifar10", "cifar100")
LABELS = "[weak.supernet.c16.e1000.s0,{0}.flops_m,{0}.params_m]"
COLUMNS: dict[str, Callable[[dict[str, Any]], float]] = {
    "test accuracy": lambda summary: summary["returned"]["test_accuracy"],
    "NDCG@10": lambda summary: summary["metrics"]["ndcg@10"],
    "Kendall": lambda summary: summary["metrics"]["kendall"],
    "seconds": lambda summary: summary["seconds"]["total"],
}


def run(data_dir: Path, output: Path, dataset: str, overrides: list[str], seed: int) -> dict[str, float]:
    """One search; its row of the table."""
    if not any(override.startswith("weak_labels") for override in overrides):
        overrides = [*overrides, f"weak_labels={LABELS.format(dataset)}"]
    command = [
        *(sys.executable, "-m", "acenas", "experiment=nb201_ltr", "table=nb201", f"table.dataset={dataset}"),
        *(
            f"data_dir={data_dir}",
            f"output_root={output}",
            f"seed={seed}",
            "logger.mode=disabled",
            *overrides,
        ),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
    folder = Path(done.stdout.strip().splitlines()[-1].removeprefix("Run folder: "))
    summary = json.loads((folder / "summary.json").read_text())
    return {name: read(summary) for name, read in COLUMNS.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path, required=True, help="where nb201.parquet is")
    parser.add_argument("--output", type=Path, default=Path("outputs/benchmark"), help="where the runs go")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    parser.add_argument(
        "--override", action="append", default=[], help="for every run, e.g. search.budget=50"
    )
    args = parser.parse_args()
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    jobs = [(d, m, s) for d in args.datasets for m in args.methods for s in seeds]
    rows = Parallel(n_jobs=args.jobs, backend="threading", verbose=1)(
        delayed(run)(args.data_dir.resolve(), args.output, d, METHODS[m] + args.override, s)
        for d, m, s in jobs
    )
    print(f"mean ± standard deviation over seeds {seeds[0]} to {seeds[-1]}\n")
    print("| data set | method | " + " | ".join(COLUMNS) + " |")
    print("|---" * (len(COLUMNS) + 2) + "|")
    for dataset in args.datasets:
        for method in args.methods:
            mine = [row for (d, m, _), row in zip(jobs, rows, strict=True) if (d, m) == (dataset, method)]
            cells = []
            for name in COLUMNS:
                values = np.array([row[name] for row in mine])
                digits = {"seconds": 0, "test accuracy": 2}.get(name, 3)
                cells.append(f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}")
            print(f"| {dataset} | {method} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
