"""How long it takes to report 100 finished runs, and to show the status of 1,000 run folders.

`python -m benchmarks.comparing FOLDER`: of finished runs, which are copied with seeds of their own until there are 100.
"""

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from acenas.report import runs


def copies(finished: list[Path], count: int, root: Path) -> None:
    """So many runs, each with a seed of its own."""
    for i in range(count):
        folder = root / f"{i:010x}"
        shutil.copytree(finished[i % len(finished)], folder, ignore=shutil.ignore_patterns("wandb", "*.ckpt"))
        summary = json.loads((folder / runs.SUMMARY).read_text())
        (folder / runs.SUMMARY).write_text(json.dumps(summary | {"seed": i}))
        config = yaml.safe_load((folder / "config.yaml").read_text())
        (folder / "config.yaml").write_text(yaml.safe_dump(config | {"seed": i}))


def timed(name: str, *command: str) -> None:
    """Runs a command and prints how long it took, the start of Python included."""
    start, cpu_start = time.monotonic(), cpu_seconds()
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=True)
    wall, cpu = time.monotonic() - start, cpu_seconds() - cpu_start
    print(f"{name:30}{wall:6.1f} s, of the processor {cpu:.1f} s ({done.stdout.strip().splitlines()[-1]})")


def cpu_seconds() -> float:
    """Of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Prints both."""
    finished = [folder for folder in runs.run_folders(Path(sys.argv[1])) if runs.finished(folder)]
    with tempfile.TemporaryDirectory() as root:
        copies(finished, 100, Path(root, "hundred"))
        timed("report of 100 finished runs", "acenas.report", f"{root}/hundred", "--out", f"{root}/out")
        looked_at = (runs.LOCK, runs.STATUS, runs.SUMMARY)
        for i in range(1000):
            (folder := Path(root, "thousand", str(i % 10), f"{i:010x}")).mkdir(parents=True)
            for name in looked_at:
                shutil.copy(finished[i % len(finished)] / name, folder / name)
        timed("status of 1,000 run folders", "acenas.run.commands.status", f"{root}/thousand")


if __name__ == "__main__":
    main()
