"""Kills commands at moments of chance, lets them go on, and compares what comes out with what undisturbed ones gave.

    python -m tests.faults.kills FOLDER [--kills 1000] [--jobs live,table] [--seed 0]

Each kill is a line in FOLDER/kills.jsonl, so that the same command goes on where it was stopped. After each kill no
process may be left within `PATIENCE` seconds; after a run that was killed up to `KILLS_A_RUN` times every file that two
undisturbed runs have in common, bit for bit, must be the same, and nothing may be left in the run, in the folder for
temporary files or in /dev/shm. Nine of ten commands are forked from a process that has imported what they need
(`zygote`), the others are started as a user does. Prints counts by stage and signal; the exit status is 1 where
something was wrong, which FOLDER/failures.jsonl tells.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from acenas.report.runs import STATUS
from tests.integration.conftest import environment, run_folders
from tests.integration.local_slurm import local_slurm, why_not

KILLS_A_RUN = 16
"""At most; then a run may end, so that the next one is killed early, too."""

FRESH = 0.1
"""The share of commands that are started as a user does; the others are forked."""

PATIENCE = 20.0
"""Seconds within which no process may be left; a loaded machine needs some of them."""

SHM = Path("/dev/shm")
TOKEN = "ACENAS_FAULTS"
"""A variable by which all processes of a command are found."""

SIGNALS = {
    "SIGKILL of the group": (signal.SIGKILL, True),
    "SIGKILL of the main process": (signal.SIGKILL, False),
    "SIGTERM": (signal.SIGTERM, False),
    "SIGINT": (signal.SIGINT, True),
}

_RANKER = (
    "ranker.pretraining.epochs=2",
    "ranker.finetuning.passes=20",
    "search.budget=4",
    "search.per_round=2",
    "search.num_final=2",
)
_TABLE = ("acenas", "experiment=debug", "logger.mode=disabled", *_RANKER)
_LIVE = (
    "acenas",
    "experiment=digits_live",
    "supernet.recipe.epochs=2",
    "supernet.recipe.warmup_epochs=0",
    "scoring.archs=1500",
    "scoring.images=100",
    "recipe.epochs=3",
    "recipe.warmup_epochs=0",
    "trainer.accelerator=cpu",
    "logger.mode=disabled",
    *_RANKER,
)
_STOPPED = (
    "search.budget=null",
    "search.budget_epochs=12",
    "search/stopping=halving",
    "search.stopping.levels=2",
    "search.num_final=0",
)
_SWEEP = ("acenas", "-m", *_TABLE[1:], "seed=0,1")
_CELL = "|none~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
_FINAL = (
    "acenas",
    "experiment=final",
    f"arch='{_CELL}'",
    "final.recipe.epochs=2",
    "final.recipe.warmup_epochs=1",
    "trainer.accelerator=cpu",
    "logger.mode=disabled",
)


@dataclass(frozen=True)
class Job:
    """A command to kill.

    Attributes:
        argv: what follows `python -m`; `{final}` and `{table}` are the folders of these runs that were not killed.
        share: of the kills.
        slurm: whether it needs a cluster; then its jobs are killed, too.
    """

    argv: Sequence[str]
    share: float = 1
    slurm: bool = False


JOBS = {
    "table": Job(_TABLE, 4),
    "final": Job(_FINAL, 6),
    "supernet": Job((*_LIVE, "table=nb201_digits", "evaluator=table", "judge=table"), 3),
    "live": Job((*_LIVE, "table=none", "evaluator.checkpoint_seconds=0", "evaluator.jobs=1"), 2),
    "epochs": Job((*_LIVE, "table=none", "evaluator.checkpoint_seconds=0", "evaluator.jobs=1", *_STOPPED)),
    "workers": Job((*_LIVE, "table=none", "evaluator.checkpoint_seconds=0", "evaluator.jobs=2"), 0.5),
    "wandb": Job((*_TABLE[:2], "logger.mode=offline", *_RANKER)),
    "export": Job(("acenas.export", "{final}", "--out", "exported"), 5),
    "report": Job(("acenas.report", "{table}", "--out", "page"), 4),
    "joblib": Job((*_SWEEP, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"), 0.5),
    "slurm": Job((*_SWEEP, "hydra/launcher=slurm", "hydra.launcher.retries=100"), slurm=True),
}
"""Those that others read come first."""


class Zygote:
    """See `zygote`."""

    def __init__(self, variables: dict[str, str]) -> None:
        self.asked, there = Pipe()
        with there:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.zygote", str(there.fileno())],
                env=variables,
                pass_fds=[there.fileno()],
            )


@dataclass
class Faults:
    """The kills in `folder`, and what was wrong after them."""

    folder: Path
    chance: random.Random
    variables: dict[str, str]
    zygote: Zygote
    pace: dict[str, float] = field(default_factory=lambda: dict.fromkeys(JOBS, 1.0))
    """Of each job, against its undisturbed runs: a machine is now more loaded and now less."""

    def run(self, kills: int, jobs: Sequence[str]) -> None:
        """Kills until there are `kills`, those of earlier calls counted in, and lets the last runs end."""
        for name in jobs:
            self.undisturbed(name)
        while True:
            done = Counter(row["job"] for row in self.rows("kills"))
            if done.total() >= kills:
                return
            name = min(jobs, key=lambda name: done[name] / JOBS[name].share)
            self.killed_run(name, min(1 + self.chance.randrange(KILLS_A_RUN), kills - done.total()))

    def rows(self, name: str) -> list[dict[str, Any]]:
        return rows(self.folder, name)

    def filled(self, word: str) -> str:
        """`{final}` and `{table}` in `word` as folders."""
        if word not in ("{final}", "{table}"):
            return word
        (found,) = run_folders(self.folder / "undisturbed" / word.strip("{}") / "outputs")
        return str(found)

    def note(self, name: str, **row: Any) -> None:
        with (self.folder / f"{name}.jsonl").open("a") as lines:
            lines.write(json.dumps(row) + "\n")

    # Undisturbed runs

    def undisturbed(self, name: str) -> None:
        """Runs `name` twice, and notes what both have in common and how long each stage takes."""
        expected = self.folder / f"{name}.json"
        if expected.exists():
            return
        contents, seconds, stages = [], 0.0, dict[str, float]()
        for attempt in ("undisturbed", "again"):
            cwd = self.folder / attempt / name
            shutil.rmtree(cwd, ignore_errors=True)
            command = Command(self, name, cwd, fresh=False)
            start, begun = time.monotonic(), dict[str, float]()
            while command.status() is None:
                begun.setdefault(stage_of(cwd, name), time.monotonic() - start)
                time.sleep(0.02)
            seconds = time.monotonic() - start
            if command.status() != 0:
                raise RuntimeError(f"{name} fails without a kill:\n{command.output()}")
            ends = [*list(begun.values())[1:], seconds]
            stages = {stage: end - at for (stage, at), end in zip(begun.items(), ends, strict=True)}
            contents.append(content(cwd))
            if attempt == "again":
                shutil.rmtree(cwd)
        first, second = contents
        if first.keys() != second.keys():
            raise RuntimeError(f"{name}: undisturbed runs differ in {sorted(first.keys() ^ second.keys())}")
        same = {file: digest for file, digest in first.items() if digest == second[file]}
        differ = sorted(first.keys() - same.keys())
        expected.write_text(
            json.dumps({"same": same, "differ": differ, "seconds": seconds, "stages": stages})
        )
        print(
            f"{name}: {seconds:.0f} s undisturbed, {len(same)} files compared, not {', '.join(differ) or 'any'}"
        )

    # Runs that are killed

    def killed_run(self, name: str, kills: int) -> None:
        """Kills a run `kills` times at most, lets it end and checks it."""
        expected = json.loads((self.folder / f"{name}.json").read_text())
        cwd = self.folder / "killed" / f"{name}-{secrets.token_hex(4)}"
        before, failures = set(SHM.iterdir()), len(self.rows("failures"))
        command, left = self.start(name, cwd), dict(expected["stages"])
        for _ in range(kills):
            command, left = self.kill(name, command, left)
        while command.status() is None:
            time.sleep(0.02)
        wrong = []
        if command.status() != 0:
            wrong.append(f"exit status {command.status()}: {command.output()}")
        else:
            wrong += differences(cwd, expected)
        wrong += [f"left behind: {path}" for path in left_behind(cwd, before)]
        wrong += [f"still running: {process}" for process in self.orphans()]
        for what in wrong:
            self.note("failures", job=name, folder=str(cwd), what=what)
            print(f"{cwd}: {what}")
        self.note("runs", job=name, folder=str(cwd), wrong=len(wrong))
        if len(self.rows("failures")) == failures:
            shutil.rmtree(cwd)

    def start(self, name: str, cwd: Path) -> "Command":
        for status in cwd.glob(
            f"outputs/*/*/{STATUS}"
        ):  # what a status file says is of the command that runs
            status.unlink()
        return Command(self, name, cwd, fresh=self.chance.random() < FRESH)

    def kill(
        self, name: str, command: "Command", left: dict[str, float]
    ) -> tuple["Command", dict[str, float]]:
        """Kills the command at a moment of chance and starts it again; returns it where it has ended before.

        Takes and returns the stages that are left to do, with their seconds.
        """
        # Half of the moments are spread over the run, half over the stage that was hit least: some take a blink only.
        wanted, seconds = None, self.chance.uniform(0, sum(left.values()))
        if self.chance.random() < 0.5:
            hit = Counter(row["stage"] for row in self.rows("kills") if row["job"] == name)
            wanted = min(left, key=lambda stage: (hit[stage], self.chance.random()))
            seconds = self.chance.uniform(0, left[wanted])
        while command.status() is None and wanted not in (None, stage_of(command.cwd, name)):
            time.sleep(0.01)
        end = time.monotonic() + seconds * self.pace[name]
        there = command.status() is None
        while command.status() is None and time.monotonic() < end:
            time.sleep(min(0.01, max(end - time.monotonic(), 0)))
        if there:
            self.pace[name] *= 0.8 if command.status() is not None else 1.1
        stage = stage_of(command.cwd, name)
        if JOBS[name].slurm and self.chance.random() < 0.5:
            if command.status() is None and self.kill_job():
                self.note("kills", job=name, stage=stage, signal="SIGKILL of a job of SLURM")
            return command, left
        how = self.chance.choice(list(SIGNALS))
        if not command.send(*SIGNALS[how]):
            return command, left
        start = time.monotonic()
        while (status := command.status()) is None and time.monotonic() - start < PATIENCE:
            time.sleep(0.01)
        orphans = self.orphans()
        row = {
            "stage": stage,
            "signal": how,
            "status": status,
            "until_alone": round(time.monotonic() - start, 2),
        }
        self.note("kills", job=name, **row)
        wrong = [*([] if status is not None else ["goes on"]), *orphans]
        if status == 0 and stage != list(left)[-1]:
            wrong.append("exit status 0")
        try:
            content(command.cwd)
        except Exception as error:  # whatever its reader raises
            wrong.append(f"torn: {type(error).__name__}: {error}")
        if wrong:
            what = "; ".join(f"{how} in {stage}: {each}" for each in wrong)
            self.note("failures", job=name, folder=str(command.cwd), what=what)
            print(f"{command.cwd}: {what}")
        self.kill_all()
        first, *later = left
        if stage in later:  # what comes before is done; each command starts
            left = {each: left[each] for each in [first, *later[later.index(stage) :]]}
        return self.start(name, command.cwd), left

    def kill_job(self) -> bool:
        """Kills a job of SLURM that runs, if any."""
        squeue = ["squeue", "--me", "--array", "--noheader", "--states=RUNNING", "--format=%i"]
        running = self.tell(squeue).stdout.split()
        if not running:
            return False
        job = self.chance.choice(running)
        return self.tell(["scancel", "--signal=KILL", "--full", job]).returncode == 0

    def tell(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, env=self.variables, capture_output=True, text=True)

    # What is left

    def processes(self) -> dict[int, str]:
        """Every process that a command has started, and that is no job of SLURM."""
        found, token = {}, f"{TOKEN}={self.variables[TOKEN]}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (folder / "environ").read_bytes().split(b"\0")
                ours = token in words and not any(word.startswith(b"SLURM_JOB_ID=") for word in words)
                if ours and int(folder.name) != self.zygote.process.pid:
                    found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")[:200]
        return found

    def kill_all(self) -> None:
        """Kills every process that a command has started and that is still there."""
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def orphans(self) -> list[str]:
        """Waits until no process is left; those that are after all."""
        end = time.monotonic() + PATIENCE
        while (found := self.processes()) and time.monotonic() < end:
            time.sleep(0.05)
        return [f"process {number}: {words}" for number, words in found.items()]

    def summary(self) -> str:
        """Counts by stage and signal."""
        found = pd.DataFrame(self.rows("kills"))
        if found.empty:
            return "no kills"
        table = found.groupby(["job", "stage", "signal"]).size().unstack(fill_value=0)
        table["all"] = table.sum(axis=1)
        table.loc[("all", ""), :] = table.sum()
        runs, failures = len(self.rows("runs")), len(self.rows("failures"))
        slowest = found["until_alone"].max()
        return (
            f"{table.astype(int).to_string()}\n{len(found)} kills of {runs} runs, each alone within {slowest:.1f} s; "
            f"{failures} failures"
        )


class Command:
    """A command that runs in `cwd`, in a process group of its own."""

    def __init__(self, faults: Faults, name: str, cwd: Path, fresh: bool) -> None:
        (temporary := cwd.with_name(f"{cwd.name}.tmp")).mkdir(parents=True, exist_ok=True)
        cwd.mkdir(parents=True, exist_ok=True)
        self.cwd = cwd
        self.log = temporary.with_name(f"{cwd.name}.log")
        self.faults = faults
        argv = [faults.filled(word) for word in JOBS[name].argv]
        self.own: subprocess.Popen[bytes] | None = None
        self.ended: int | None = None
        if fresh:
            with self.log.open("ab") as out:
                self.own = subprocess.Popen(
                    [sys.executable, "-m", *argv],
                    cwd=cwd,
                    env=faults.variables | {"TMPDIR": str(temporary)},
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    process_group=0,
                )
            self.process = self.own.pid
        else:
            faults.zygote.asked.send(
                {"argv": argv, "cwd": str(cwd), "out": str(self.log), "tmp": str(temporary)}
            )
            self.process = faults.zygote.asked.recv()

    def status(self) -> int | None:
        if self.own is not None:
            return self.own.poll()
        if self.ended is None and self.faults.zygote.asked.poll():
            self.ended = self.faults.zygote.asked.recv()
        return self.ended

    def send(self, number: signal.Signals, group: bool) -> bool:
        """Sends a signal; whether the command was still there."""
        if self.status() is not None:
            return False
        try:
            (os.killpg if group else os.kill)(self.process, number)
        except ProcessLookupError:
            return False
        return True

    def output(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]


def stage_of(cwd: Path, name: str) -> str:
    """The stage that the command in `cwd` is in."""
    stages = []
    for status in cwd.glob(f"outputs/*/*/{STATUS}"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            stages.append((status.stat().st_mtime, str(json.loads(status.read_text())["stage"])))
    return max(stages)[1] if stages else "start" if JOBS[name].argv[0] == "acenas" else name


CLOCKS = ("seconds", "cpu_seconds", "date", "commit", "train/images_per_second")


def content(cwd: Path) -> dict[str, str]:
    """A digest of every file below `cwd`, without `CLOCKS`; not of logs and the like."""
    found = {}
    for path in sorted(cwd.rglob("*")):
        name = str(path.relative_to(cwd))
        if path.is_file() and not re.search(
            r"(^|/)(\.hydra|\.submitit|wandb)/|\.log$|\.yaml$|\.slurm_job$|status\.json$", name
        ):
            found[name] = hashlib.sha256(_read(path, cwd)).hexdigest()[:20]
    return found


def _read(path: Path, cwd: Path) -> bytes:
    if path.suffix in (".parquet", ".csv"):
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
        frame = frame[[column for column in sorted(frame.columns) if column not in CLOCKS]]
        return repr(list(frame.columns)).encode() + pd.util.hash_pandas_object(frame).to_numpy().tobytes()
    if path.suffix == ".json":
        return json.dumps(_without_clocks(json.loads(path.read_text())), sort_keys=True).encode()
    if path.name.endswith(".torchscript.pt"):  # torch names the folder in it after the temporary file
        with zipfile.ZipFile(path) as parts:
            hold_paths = (".debug_pkl", "/serialization_id")
            names = [name for name in sorted(parts.namelist()) if not name.endswith(hold_paths)]
            return b"".join(name.partition("/")[2].encode() + parts.read(name) for name in names)
    if path.suffix in (".pt", ".ckpt"):
        return _flat(torch.load(path, weights_only=True))
    return path.read_bytes().replace(str(cwd).encode(), b"CWD")


def _flat(state: Any) -> bytes:
    """What a checkpoint holds; that differs from its bytes, which tell which of its equal parts were one object."""
    if isinstance(state, torch.Tensor):
        return repr((state.dtype, state.shape)).encode() + state.numpy().tobytes()
    if isinstance(state, dict):
        return b"{" + b"".join(repr(key).encode() + _flat(each) for key, each in state.items()) + b"}"
    if isinstance(state, list | tuple):
        return b"[" + b",".join(map(_flat, state)) + b"]"
    return repr(state).encode()


def _without_clocks(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_clocks(each) for key, each in value.items() if key not in CLOCKS}
    return [_without_clocks(each) for each in value] if isinstance(value, list) else value


def differences(cwd: Path, expected: dict[str, Any]) -> list[str]:
    """What is not as in undisturbed runs, in which some files are the `same` and some `differ`."""
    found = content(cwd)
    known = expected["same"].keys() | set(expected["differ"])
    wrong = [f"missing: {file}" for file in sorted(known - found.keys())]
    wrong += [f"not in an undisturbed run: {file}" for file in sorted(found.keys() - known)]
    same = expected["same"].items()
    return wrong + [f"another content: {file}" for file, digest in same if found.get(file, digest) != digest]


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    """What is noted in a file of `folder`: `kills`, `runs` or `failures`."""
    path = folder / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


_OF_PACKAGES = r"torchinductor|\.ses$"
"""What torch and onnxruntime leave in the folder for temporary files."""


def left_behind(cwd: Path, before: set[Path]) -> Iterator[Path]:
    """Temporary files of a run that has ended, and what is new in /dev/shm and of no process that lives."""
    yield from cwd.rglob("*.tmp")
    for path in cwd.with_name(f"{cwd.name}.tmp").iterdir():
        if not re.match(_OF_PACKAGES, path.name):
            yield path
    for path in set(SHM.iterdir()) - before:
        if not any(Path("/proc", number).exists() for number in re.findall(r"\d+", path.name)):
            yield path


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="of what is undisturbed, killed, noted")
    parser.add_argument("--kills", type=int, default=1000, help="those that the folder has already included")
    parser.add_argument("--jobs", help=f"of {','.join(JOBS)}; all by default, slurm where there is one")
    parser.add_argument("--seed", type=int, help="of the moments; another each time by default")
    options = parser.parse_args(arguments)
    jobs = (
        options.jobs.split(",")
        if options.jobs
        else [name for name in JOBS if name != "slurm" or not why_not()]
    )
    options.folder.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGTERM, signal.SIGINT):  # the second is ignored in the background of a shell
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    variables = environment() | {TOKEN: secrets.token_hex(8), "OMP_NUM_THREADS": "1"}
    with contextlib.ExitStack() as stack:
        if "slurm" in jobs:
            variables |= stack.enter_context(local_slurm())
        zygote = Zygote(variables)
        faults = Faults(options.folder.absolute(), random.Random(options.seed), variables, zygote)
        try:
            faults.run(options.kills, jobs)
        finally:
            faults.kill_all()
            zygote.asked.close()
            zygote.process.wait()
            print(faults.summary())
    return int(bool(faults.rows("failures")))


if __name__ == "__main__":
    sys.exit(main())
