"""The command `python -m acenas.latency`: how long networks of a space take on this machine."""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from acenas.errors import UserError, exit_status
from acenas.run.command_line import run_application
from acenas.run.config import conf_dir
from acenas.tables import parse_column
from acenas.tables.schema import Latency


def main() -> int:
    """Runs the command; returns its exit status."""
    return run_application(hydra_main, config="latency")


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="latency")
def hydra_main(cfg: DictConfig) -> None:
    """Measures, or goes on with it, and tells how well the rest of the space can be predicted from that."""
    sys.exit(exit_status(lambda: measure(cfg)))  # here: Hydra would tell of errors in its own way


def measure(cfg: DictConfig) -> None:
    """Measures and prints a summary."""
    column = f"{cfg.dataset}.latency_ms.{cfg.name}"
    if not isinstance(parse_column(column), Latency):
        raise UserError(
            f"dataset={cfg.dataset} and name={cfg.name} must be letters, digits, _ or -, to name the column"
        )
    import numpy as np  # seconds, all of it: after the checks
    from hydra.utils import instantiate
    from rich.console import Console

    from acenas.evaluation.costs import LatencyPredictor
    from acenas.evaluation.costs.latency import LEAST_SAMPLES
    from acenas.evaluation.costs.measure import SPREAD, Stopwatch, measure_latencies
    from acenas.executors.progress import show_progress
    from acenas.seeds import torch_generator
    from acenas.tables import BenchmarkTable

    space, out = instantiate(cfg.space), Path(cfg.out)
    generator = torch_generator(cfg.seed, "latency")
    archs = list(cfg.archs or dict.fromkeys(space.canonical_all(space.sample(cfg.samples, generator))))
    for arch in archs:
        space.validate(arch)
    channels, height, width = cfg.image_shape
    measured = measure_latencies(
        space,
        archs,
        Stopwatch(cfg.device, cfg.threads, cfg.batch_size, cfg.warmup, cfg.repeats),
        (channels, height, width),
        cfg.num_classes,
        column,
        out,
    )
    for _ in show_progress(measured, len(archs), 0, Console(stderr=True), "measured"):
        pass
    table = BenchmarkTable.open(out, space=space.name)
    medians, spreads = table.column(column), table.column(SPREAD)
    spread = float(np.median(100 * spreads / medians))
    print(
        f"{column}: {len(table)} architectures, {medians.min():.4g} to {medians.max():.4g} ms; the middle half of the "
        f"{cfg.repeats} passes of one lies within {spread:.1f} % of its median (typically)"
    )
    if len(table) >= LEAST_SAMPLES:
        print(
            f"Of others it can be {LatencyPredictor.from_file(out, space, f'latency_ms.{cfg.name}').origin}"
        )
    print(f"Table: {out}")


if __name__ == "__main__":
    sys.exit(main())
