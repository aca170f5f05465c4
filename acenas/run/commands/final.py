"""The command `python -m acenas.final`: measures the trained network of a run, or a checkpoint of its training."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from acenas.errors import exit_status
from acenas.images import ImageTask
from acenas.run.networks import from_folder, open_network
from acenas.training.processes import Hardware
from acenas.trust import HELP


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m acenas.final",
        description="Measures the accuracy of the network that a run has trained, on the images of the run.",
    )
    parser.add_argument("run", type=Path, metavar="FOLDER", help="of a run")
    parser.add_argument(
        "--checkpoint", type=Path, help="weights to measure instead, such as FOLDER/final/training.ckpt"
    )
    parser.add_argument("--part", choices=("train", "valid", "test"), default="test", help="default: test")
    parser.add_argument("--batch", type=int, default=250, help="images at once (default: 250)")
    parser.add_argument("--accelerator", choices=("auto", "cpu", "gpu"), default="auto", help="default: auto")
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help=HELP)
    options = parser.parse_args(arguments)
    return exit_status(lambda: _measure(options))


def _measure(options: argparse.Namespace) -> None:
    device = Hardware(options.accelerator).device(0)
    cfg, trained = open_network(options.run, options.checkpoint, options.trust)
    task: ImageTask = from_folder(options.trust)(cfg.images)
    accuracy = trained.measured(task, options.part, device, options.batch)
    count = len(getattr(task.splits, options.part).labels)
    print(f"{accuracy:.2f} % of {count} {options.part} images of {task.source.name}: {trained.facts.arch}")


if __name__ == "__main__":
    sys.exit(main())
