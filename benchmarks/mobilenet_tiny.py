"""`experiment=mobilenet_tiny` against random networks with the same limit and budget, over seeds.

Run from the repository: `python benchmarks/mobilenet_tiny.py [SEEDS] [OUTPUT_ROOT]`. Runs that are done are not made
again. It prints a Markdown table; what a run returns was chosen by validation accuracy.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from hydra.utils import instantiate
from omegaconf import OmegaConf

from acenas.run.config import instantiate_in

SEEDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
ROOT = Path(sys.argv[2] if len(sys.argv) > 2 else "outputs/mobilenet_tiny_seeds")
METHODS = {
    "acenas": [],
    "random": ["search=random", "~supernet", "weak_labels=[]"],
}


def run(method: str, seed: int) -> Path:
    """Makes the run and returns its folder."""
    root = ROOT / method / f"seed{seed}"
    common = ["experiment=mobilenet_tiny", f"seed={seed}", f"output_root={root}", "logger.mode=disabled"]
    command = [sys.executable, "-m", "acenas", *common, "export=none", *METHODS[method]]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return next(root.glob("*/*/summary.json")).parent


def row(method: str, seed: int) -> tuple[float, float, float, float]:
    """Test accuracy of what was returned and mean of all that were trained (percent), highest cost, seconds."""
    folder = run(method, seed)
    summary = json.loads((folder / "summary.json").read_text())
    cfg = OmegaConf.load(folder / "config.yaml")
    archs, test = instantiate_in(cfg.judge, folder / "trained").known()
    (limited,) = (name for name in summary["constraints"]["limits"])
    costs = instantiate(cfg.space).costs(archs, 10, (1, 8, 8))
    dearest = max(getattr(cost, limited) for cost in costs)
    return summary["returned"]["test_accuracy"], float(test.mean()), dearest, summary["seconds"]["total"]


def main() -> None:
    print(
        "| seed | acenas returns | random search returns | mean of its random networks | acenas, dearest | seconds |"
    )
    print("|---|---|---|---|---|---|", flush=True)
    columns = []
    for seed in range(SEEDS):
        returned, _, dearest, seconds = row("acenas", seed)
        best_of_random, mean_of_random, _, _ = row("random", seed)
        columns.append((returned, best_of_random, mean_of_random))
        accuracies = f"{returned:.2f} | {best_of_random:.2f} | {mean_of_random:.2f}"
        print(
            f"| {seed} | {accuracies} | {dearest:.4f} | {seconds:.0f} |",
            flush=True,
        )
    values = np.array(columns)
    mean, error = values.mean(0), values.std(0, ddof=1) / np.sqrt(len(values))
    print(
        "| mean ± standard error | "
        + " | ".join(f"{m:.2f} ± {e:.2f}" for m, e in zip(mean, error, strict=True))
        + " |"
    )


if __name__ == "__main__":
    main()
