import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from joblib import Parallel, delayed

from acenas.errors import UserError
from acenas.supernet import UniformPaths
from acenas.tables import WeakLabels
from acenas.training.processes import Hardware, launched, processes
from tests.supernet.example import assert_same_weights, plain_training, training
from tests.supernet.test_scoring import ARCHS, network, scoring

RANK_VARIABLES = ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE", "LOCAL_RANK", "NODE_RANK")


def nothing(*_: object) -> None:
    pass


def test_one_process_is_alone() -> None:
    with processes(Hardware(), nothing) as environment:
        assert environment is None


def test_several_machines_need_a_launcher() -> None:
    with (
        pytest.raises(UserError, match="start the command on all machines with srun or torchrun"),
        processes(Hardware(num_nodes=2), nothing),
    ):
        pass


def test_a_launcher_must_start_a_process_for_each_device(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "TORCHELASTIC_RUN_ID": "1",
        "WORLD_SIZE": "3",
        "RANK": "1",
        "LOCAL_RANK": "1",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="started 3 processes"), processes(Hardware(devices=2), nothing):
        pass
    with processes(Hardware(devices=3), nothing) as environment:
        assert environment is not None
        assert (environment.global_rank(), environment.world_size()) == (1, 3)


def test_a_job_of_slurm_with_one_task_starts_its_own_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "1")
    monkeypatch.setenv("SLURM_JOB_NAME", "job")
    assert launched() is None
    monkeypatch.setenv("SLURM_NTASKS", "2")
    with pytest.raises(UserError, match="--ntasks-per-node=2"):
        launched()
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "2")
    monkeypatch.setenv("SLURM_PROCID", "1")
    environment = launched()
    assert environment is not None and environment.global_rank() == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accelerator": "tpu"}, "cpu, gpu or auto"),
        ({"devices": 0}, "devices must be at least 1"),
        ({"num_nodes": 0}, "num_nodes must be at least 1"),
        ({"precision": "16"}, "precision is"),
        ({"accelerator": "gpu", "devices": 99}, "choose fewer devices"),
    ],
)
def test_hardware_that_is_not_there_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Hardware(**options)  # type: ignore[arg-type]


def fail(environment: object) -> None:
    raise ValueError("on purpose")


@pytest.mark.slow
def test_a_process_that_fails_is_noticed(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="process 1 of 2 failed"), processes(Hardware(devices=2), fail):
        pass
    assert "on purpose" in capfd.readouterr().err


def together(environment: object) -> None:
    dist.barrier()
    dist.barrier()


def listens_at(process: int) -> set[str]:
    """The addresses, in hexadecimal as Linux writes them, at which a process waits for connections."""
    sockets = {str(path.readlink()) for path in Path(f"/proc/{process}/fd").iterdir() if path.is_symlink()}
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()
    ]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's list of connections")
def test_the_processes_of_one_machine_are_not_to_be_reached_from_others() -> None:
    with processes(Hardware(devices=2), together):
        dist.barrier()
        others = [pid for pid in children(os.getpid()) if "spawn_main" in command(pid)]
        found = set[str]().union(*map(listens_at, [os.getpid(), *others]))
        dist.barrier()
    assert len(others) == 1 and found == {"0100007F"}


TRAIN = """
import sys, time
import pytorch_lightning as pl
from acenas.supernet import UniformPaths
from tests.supernet.example import training

class Slow(pl.Callback):
    def on_train_batch_end(self, trainer, *args):
        if trainer.current_epoch:
            time.sleep(100)  # in the middle of the second epoch

if __name__ == "__main__":
    training(UniformPaths(paths_per_step=2), devices=2).run(sys.argv[1], callbacks=[Slow()])
"""


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command(pid: int) -> str:
    path = Path(f"/proc/{pid}/cmdline")
    return path.read_bytes().decode() if path.exists() else ""


def wait_for(condition: object, seconds: float = 300.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited for too long"
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's list of processes")
def test_kill_and_resume_with_two_processes_gives_the_same_weights(tmp_path: Path) -> None:
    of = training(UniformPaths(paths_per_step=2), devices=2)
    whole = of.run(tmp_path / "whole")
    script, folder = tmp_path / "train.py", tmp_path / "killed"
    script.write_text(TRAIN)
    first = subprocess.Popen(
        [sys.executable, str(script), str(folder)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        process_group=0,
    )
    try:
        wait_for((folder / "supernet.ckpt").exists)
        time.sleep(0.5)
        others = [pid for pid in children(first.pid) if "spawn_main" in command(pid)]
        assert len(others) == 1
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        wait_for(lambda: not any("spawn_main" in command(pid) for pid in others), 15)
    finally:
        if first.poll() is None:
            os.killpg(first.pid, signal.SIGKILL)
    assert [path.name for path in folder.iterdir()] == ["supernet.ckpt"]
    threads = torch.get_num_threads()
    assert_same_weights(of.run(folder), whole, tolerance=0)
    # Nothing is left that a further job of this process could stumble over.
    assert not dist.is_initialized() and torch.get_num_threads() == threads
    assert not any(name in os.environ for name in RANK_VARIABLES)


LAUNCHED = """
import sys
from acenas.training.processes import Hardware
from acenas.supernet import UniformPaths
from tests.supernet.example import training
from tests.supernet.test_scoring import network, scoring

of = training(UniformPaths(paths_per_step=2), num_nodes=2)
of.run(sys.argv[1])
labels = scoring(hardware=Hardware(num_nodes=2)).run(network(), sys.argv[1] + "/labels", "w")
labels.save(sys.argv[1] + "/labels/weak_labels.parquet")
"""


@pytest.mark.slow
def test_two_machines_under_torchrun(tmp_path: Path) -> None:
    script, folder, port = tmp_path / "train.py", tmp_path / "run", free_port()
    script.write_text(LAUNCHED)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
    machines = [
        subprocess.Popen(
            [
                *torchrun,
                f"--node-rank={i}",
                "--master-addr=127.0.0.1",
                f"--master-port={port}",
                script,
                folder,
            ],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        for i in range(2)
    ]
    try:
        assert [machine.wait(timeout=180) for machine in machines] == [0, 0]
    finally:
        for machine in machines:
            machine.kill()
    of = training(UniformPaths(paths_per_step=2), num_nodes=2)
    assert_same_weights(of.load(folder / "supernet.pt"), plain_training(of).network)
    labels = WeakLabels.load(folder / "labels" / "weak_labels.parquet")
    alone = scoring().run(network(), tmp_path / "alone", "w")
    np.testing.assert_array_equal(labels.values(ARCHS), alone.values(ARCHS))


def job(folder: Path) -> float:
    network = training(devices=2).run(folder)
    return sum(parameter.abs().sum().item() for parameter in network.parameters())


@pytest.mark.slow
def test_two_jobs_at_once_have_two_processes_each(tmp_path: Path) -> None:
    sums = Parallel(n_jobs=2, timeout=180)(delayed(job)(tmp_path / name) for name in ("a", "b"))
    expected = plain_training(training(devices=2)).network
    assert sums == pytest.approx([sum(p.abs().sum().item() for p in expected.parameters())] * 2, rel=1e-6)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
