"""A SLURM cluster of one node on this machine: started in a temporary folder, without root's configuration or systemd.

`python -m tests.integration.local_slurm COMMAND...` runs a command, such as a shell, beside it and stops it afterwards.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
DEBIAN = "apt-get install slurm-wlm munge"


def why_not() -> str:
    """What keeps this machine from running a SLURM; empty for nothing."""
    missing = [name for name in (*DAEMONS, "sbatch", "srun") if _found(name) is None]
    if missing:
        return f"SLURM is not installed: there is no {', '.join(missing)} ({DEBIAN})"
    return "" if os.geteuid() == 0 else "slurmd starts jobs, for which it wants to be root"


@contextmanager
def local_slurm(cpus: int = 2) -> Iterator[dict[str, str]]:
    """Yields the environment variables with which `sbatch` and the others find the cluster.

    It listens on the loopback device alone, keeps no accounts, and ends with the block, and all its jobs with it.

    Args:
        cpus: that jobs may take, however many there are.

    Raises:
        RuntimeError: where it does not come up; the logs of its daemons are in the message.
    """
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: the path of a socket has 107 characters at most
    folder.chmod(0o755)
    environment = {"SLURM_CONF": str(folder / "slurm.conf")}
    _configure(folder, cpus)
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        for command in _commands(folder):
            daemons.append(_start(command, folder, environment))
            if command[0] == _found("munged"):
                _wait(lambda: (folder / "munge.socket").exists(), folder)
        _wait(lambda: "idle" in _ask(environment, "sinfo", "--noheader", "--format=%t"), folder)
        yield environment
    finally:
        _ask(environment, "scancel", "--me", "--signal=KILL", "--full")
        _ask(environment, "scancel", "--me")
        deadline = time.monotonic() + 20
        while _ask(environment, "squeue", "--noheader").strip() and time.monotonic() < deadline:
            time.sleep(0.2)
        for daemon in reversed(daemons):
            daemon.terminate()
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _found(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _configure(folder: Path, cpus: int) -> None:
    (folder / "munge.key").write_bytes(secrets.token_bytes(1024))
    (folder / "munge.key").chmod(0o400)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    controller, node = _free_ports(2)
    (folder / "slurm.conf").write_text(
        f"""\
ClusterName=acenas
SlurmctldHost={socket.gethostname()}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=1,sched_interval=2
SlurmdParameters=config_overrides
KillWait=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=localhost NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=localhost Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=localhost MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=off
"""
    )


def _commands(folder: Path) -> list[list[str]]:
    names = [str(_found(name)) for name in DAEMONS]
    files = {
        name: f"{folder}/munge.{name.split('-')[0]}"
        for name in ("key-file", "socket", "pid-file", "log-file")
    }
    munge = [f"--{name}={file}" for name, file in files.items()] + [f"--seed-file={folder}/munge.seed"]
    return [
        [names[0], "--foreground", "--force", *munge],
        [names[1], "-D", "-c", "-L", str(folder / "slurmctld.log")],
        [names[2], "-D", "-c", "-N", "localhost", "-L", str(folder / "slurmd.log")],
    ]


def _start(command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with (folder / f"{Path(command[0]).name}.out").open("wb") as out:
        return subprocess.Popen(
            command, env=os.environ | environment, stdout=out, stderr=out, start_new_session=True
        )


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _ask(environment: dict[str, str], *command: str) -> str:
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
    return done.stdout


def _wait(ready: Callable[[], bool], folder: Path) -> None:
    deadline = time.monotonic() + 60
    while not ready():
        if time.monotonic() > deadline:
            logs = [path for path in sorted(folder.iterdir()) if path.suffix in (".log", ".out")]
            raise RuntimeError("\n".join(f"{path.name}:\n{path.read_text()[-2000:]}" for path in logs))
        time.sleep(0.1)


if __name__ == "__main__":
    if reason := why_not():
        sys.exit(reason)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with local_slurm() as found:
        sys.exit(subprocess.run(sys.argv[1:] or ["bash"], env=os.environ | found).returncode)
