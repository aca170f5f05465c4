"""What a sweep on SLURM costs beside its runs, and what kills do to it: the figures of cluster.md.

Starts a SLURM of its own on this machine (as root; Debian's packages slurm-wlm and munge):

    OMP_NUM_THREADS=1 python -m benchmarks.cluster launch
    OMP_NUM_THREADS=1 python -m benchmarks.cluster faults [--kills 8] [--seeds 4]
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

from tests.integration.conftest import result, run_folders, summary
from tests.integration.local_slurm import local_slurm

DEBUG = ("experiment=debug", "logger.mode=disabled")
LONGER = ("experiment=debug", "logger.mode=offline", "ranker.finetuning.passes=200", "search.budget=20")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["launch", "faults"])
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, local_slurm() as environment:
        os.environ.update(environment)
        if arguments.what == "launch":
            measure_launch(Path(folder))
        else:
            count_faults(Path(folder), arguments.kills, arguments.seeds)


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


def count_faults(root: Path, kills: int, seeds: int) -> None:
    seed = f"seed=range({seeds})"
    subprocess.run(sweep(root / "undisturbed", *LONGER, seed), check=True, capture_output=True)
    expected = {folder.name: folder for folder in run_folders(root / "undisturbed")}
    usual = max(summary(folder)["seconds"]["total"] for folder in expected.values())
    print(f"{len(expected)} undisturbed runs of {usual:.0f} s at most")

    chance, killed, shells = random.Random(0), dict[str, int](), 0
    command = sweep(root / "killed", *LONGER, seed, "hydra/launcher=slurm", "hydra.launcher.retries=100")
    while True:
        shell = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        shells += 1
        while shell.poll() is None and sum(killed.values()) < kills:
            time.sleep(chance.uniform(0.1, 0.7) * usual)
            if sum(killed.values()) == kills // 2 and shells == 1:
                shell.kill()  # the command that waits for the jobs, too
            running = running_jobs()
            if running:
                job = chance.choice(running)
                stage = stage_of(root / "killed", job)
                if subprocess.run(["scancel", "--signal=KILL", "--full", job]).returncode == 0:
                    killed[stage] = killed.get(stage, 0) + 1
        out, _ = shell.communicate()
        if shell.returncode >= 0:
            break
    print(
        f"{sum(killed.values())} jobs killed (SIGKILL) in stages {killed}, and the command {shells - 1} time(s)"
    )
    print(out.strip().splitlines()[-1])
    folders = run_folders(root / "killed")
    same = [folder.name for folder in folders if equal(folder, expected[folder.name])]
    print(
        f"runs lost: {len(expected) - len(folders)}; with the undisturbed result: {len(same)} of {len(expected)}"
    )
    print(f"corrupt or temporary files: {len(broken(root / 'killed'))}")


def running_jobs() -> list[str]:
    asked = ["squeue", "--me", "--array", "--noheader", "--states=RUNNING", "--format=%i"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()


def stage_of(root: Path, job: str) -> str:
    for note in root.rglob(".slurm_job"):
        if Path(note.read_text()).name == job:
            status = note.parent / "status.json"
            facts: dict[str, Any] = json.loads(status.read_text()) if status.exists() else {}
            return str(facts.get("stage", "start"))
    return "start"


def equal(folder: Path, other: Path) -> bool:
    tables = [pd.read_parquet(f / "observations.parquet") for f in (folder, other)]
    scores = [pd.read_parquet(f / "scores.parquet") for f in (folder, other)]
    return result(folder) == result(other) and tables[0].equals(tables[1]) and scores[0].equals(scores[1])


def broken(root: Path) -> list[Path]:
    """Files that cannot be read, or that a killed process left half-written."""
    bad = [path for path in root.rglob("*.tmp") if path.is_file()]
    for path in root.rglob("*.json"):
        try:
            json.loads(path.read_text())
        except ValueError:
            bad.append(path)
    for path in root.rglob("*.parquet"):
        try:
            pd.read_parquet(path)
        except Exception:
            bad.append(path)
    return bad


if __name__ == "__main__":
    main()
