"""What a sweep on SLURM costs beside its runs: the figures of cluster.md.

Starts a SLURM of its own on this machine (as root; Debian's packages slurm-wlm and munge):

    OMP_NUM_THREADS=1 python -m benchmarks.cluster launch
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from tests.integration.conftest import run_folders, summary
from tests.integration.local_slurm import local_slurm

DEBUG = ("experiment=debug", "logger.mode=disabled")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["launch"])
    parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, local_slurm() as environment:
        os.environ.update(environment)
        measure_launch(Path(folder))


def sweep(root: Path, *overrides: str) -> list[str]:
    return [sys.executable, "-m", "acenas", "-m", f"output_root={root}", *overrides]


def measure_launch(root: Path) -> None:
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, priority {os.nice(0)}")
    for launcher in ("basic", "slurm"):
        where = root / launcher
        start, before = time.monotonic(), os.times()
        subprocess.run(sweep(where, *DEBUG, f"hydra/launcher={launcher}"), check=True, capture_output=True)
        seconds, after = time.monotonic() - start, os.times()
        (folder,) = run_folders(where)
        stages, cpu_stages = (summary(folder)[kind]["total"] for kind in ("seconds", "cpu_seconds"))
        print(
            f"{launcher}: {seconds:.1f} s, of which {stages:.1f} s in stages: {seconds - stages:.1f} s beside them"
        )
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        if launcher == "basic":
            print(f"  {cpu:.1f} CPU-seconds, of which {cpu_stages:.1f} in stages")
        else:
            print(f"  {cpu:.1f} CPU-seconds in the command that submits and waits")
            show_parts(where, folder)


def show_parts(where: Path, folder: Path) -> None:
    """From the times of files: submission, start of the job's Python, first file of the run, end."""
    (log,) = where.rglob("*_0_log.out")
    note, first, last = (folder / name for name in (".slurm_job", "config.yaml", "summary.json"))
    started = pd.Timestamp(log.read_text().split("(")[1].split(")")[0].replace(",", ".")).timestamp()
    print(f"  submitted to started: {started - note.stat().st_mtime:.1f} s")
    print(f"  started to the run's first file, imports between them: {first.stat().st_mtime - started:.1f} s")
    (pickle,) = where.rglob("*_result.pkl")
    print(f"  summary written to job ended: {pickle.stat().st_mtime - last.stat().st_mtime:.1f} s")


if __name__ == "__main__":
    main()
