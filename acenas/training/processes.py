"""The processes that share a training or a scoring: one for each device, on one machine or several."""

import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Literal

import torch
import torch.distributed as dist
from pytorch_lightning.plugins.environments import (  # type: ignore[attr-defined]
    ClusterEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from torch.distributed import TCPStore  # type: ignore[attr-defined]
from typing_extensions import override

from acenas.errors import UserError, require_at_least, require_one_of
from acenas.executors.launcher import launched_rank
from acenas.executors.parent import EndWithParent

Precision = Literal["32-true", "bf16-mixed", "64-true"]


@dataclass(frozen=True)
class Hardware:
    """The devices to compute on, and the precision.

    Attributes:
        accelerator: "cpu", "gpu" (CUDA), or "auto" for a GPU where there is one.
        devices: of each machine, one process each; on "cpu" the processes share the cores.
        num_nodes: machines. More than one needs a launcher that starts the command on all of them: `srun` or
            `torchrun`, one task for each device.
        precision: Lightning's name: "32-true", "bf16-mixed" (float32 weights, bfloat16 convolutions) or "64-true".

    Raises:
        UserError: where this machine has no such devices.
    """

    accelerator: Literal["cpu", "gpu", "auto"] = "cpu"
    devices: int = 1
    num_nodes: int = 1
    precision: Precision = "32-true"

    def __post_init__(self) -> None:
        require_one_of("trainer: accelerator", self.accelerator, ("cpu", "gpu", "auto"))
        require_at_least(1, "trainer: ", devices=self.devices, num_nodes=self.num_nodes)
        require_one_of("trainer: precision", self.precision, ("32-true", "bf16-mixed", "64-true"))
        if self.on_gpu and torch.cuda.device_count() < self.devices:
            raise UserError(
                f"trainer: torch sees {torch.cuda.device_count()} GPUs, not {self.devices}; choose fewer devices, or "
                "accelerator=cpu"
            )

    @property
    def on_gpu(self) -> bool:
        """Whether the devices are GPUs."""
        return self.accelerator == "gpu" or (self.accelerator == "auto" and torch.cuda.is_available())

    @property
    def world_size(self) -> int:
        """Number of processes."""
        return self.devices * self.num_nodes

    @property
    def backend(self) -> str:
        """Backend of torch.distributed."""
        return "nccl" if self.on_gpu else "gloo"

    def device(self, local_rank: int) -> torch.device:
        """Returns the device of process `local_rank` of a machine."""
        return torch.device("cuda", local_rank) if self.on_gpu else torch.device("cpu")

    def autocast(self) -> torch.autocast:
        """Returns the context in which networks compute."""
        kind = "cuda" if self.on_gpu else "cpu"
        return torch.autocast(kind, dtype=torch.bfloat16, enabled=self.precision == "bf16-mixed")

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return torch.float64 if self.precision == "64-true" else torch.float32


class LocalEnvironment(ClusterEnvironment):
    """Process `rank` of `world_size` on this machine, for Lightning; sets no environment variable."""

    creates_processes_externally = True
    main_address = "127.0.0.1"
    main_port = 0

    def __init__(self, rank: int, world_size: int, port: int) -> None:
        self.rank = rank
        self.size = world_size
        self.main_port = port

    @override
    @staticmethod
    def detect() -> bool:
        return False

    @override
    def world_size(self) -> int:
        return self.size

    @override
    def set_world_size(self, size: int) -> None:
        """Does nothing: the size is known."""

    @override
    def global_rank(self) -> int:
        return self.rank

    @override
    def set_global_rank(self, rank: int) -> None:
        """Does nothing: the rank is known."""

    @override
    def local_rank(self) -> int:
        return self.rank

    @override
    def node_rank(self) -> int:
        return 0


@contextmanager
def processes(
    hardware: Hardware, target: Callable[..., object], *args: object
) -> Iterator[ClusterEnvironment | None]:
    """Gives this process its rank among those of `hardware`; starts the others where no launcher did.

    Where `srun` or `torchrun` has started a process for each device, none is started. Otherwise this process is the
    first, and `target(environment, *args)` runs in each of the others. They are spawned and do not run the command
    again, so this works in a sweep, in a notebook and under any launcher. They end with this process, however it ends.

    Args:
        hardware: devices and machines.
        target: an importable function for the other processes.
        args: for `target`; must be picklable. Tensors are shared, not copied: `target` must not change them.

    Yields:
        The environment of this process; None where it is alone.

    Raises:
        UserError: for several machines without a launcher, or one that started another number of processes.
        RuntimeError: where one of the other processes failed; it has printed the reason.
    """
    if hardware.world_size == 1:
        yield None
        return
    environment = launched()
    if environment is not None:
        if environment.world_size() != hardware.world_size:
            raise UserError(
                f"the launcher started {environment.world_size()} processes, but devices={hardware.devices} and "
                f"num_nodes={hardware.num_nodes} need {hardware.world_size}; start one task for each device"
            )
        yield environment
        return
    if hardware.num_nodes > 1:
        raise UserError(
            f"num_nodes={hardware.num_nodes}: start the command on all machines with srun or torchrun, one task for "
            "each device"
        )
    with _local(hardware.devices, hardware.backend, target, args) as local:
        yield local


def launched() -> ClusterEnvironment | None:
    """Returns the environment of `torchrun`, or of `srun` with several tasks; None for a single process.

    Raises:
        UserError: where Lightning does not accept the job of SLURM.
    """
    if launched_rank() is None:  # such as a job of submitit
        return None
    try:
        if TorchElasticEnvironment.detect():
            return TorchElasticEnvironment()
        return SLURMEnvironment(auto_requeue=False)
    except RuntimeError as error:
        raise UserError(f"SLURM: {error}") from error


@contextmanager
def _local(
    world_size: int, backend: str, target: Callable[..., object], args: tuple[object, ...]
) -> Iterator[LocalEnvironment]:
    with socket.socket() as listening:  # the store by itself, and gloo, would listen on all networks
        listening.bind((LocalEnvironment.main_address, 0))
        listening.listen()
        port = listening.getsockname()[1]
        store = _store(port, world_size, os.dup(listening.fileno()))
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), None)
    spawn = multiprocessing.get_context("spawn")  # a fork copies the locks of threads and breaks CUDA
    threads = torch.get_num_threads()
    share = max(threads // world_size, 1)
    pipes = [spawn.Pipe(duplex=False) for _ in range(1, world_size)]  # semaphores would lie in /dev/shm
    others = [
        spawn.Process(
            name=EndWithParent(f"process {rank} of {world_size}"),
            target=_other,
            args=(here, LocalEnvironment(rank, world_size, port), backend, share, target, args),
            daemon=False,  # a daemon may not start the workers that read images; its name ends it
        )
        for rank, (_, here) in enumerate(pipes, start=1)
    ]
    before = {name: os.environ.get(name) for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")}
    if loopback is not None:
        os.environ |= dict.fromkeys(before, loopback)
    torch.set_num_threads(share)
    try:
        with _spawning():
            for process in others:
                process.start()
        for there, here in pipes:  # a process that never started would be waited for forever
            here.close()
            try:
                there.recv()
            except EOFError:
                raise RuntimeError("another process could not start; its own message says why") from None
        dist.init_process_group(backend, store=store, rank=0, world_size=world_size)
        yield LocalEnvironment(0, world_size, port)
        _leave()
        for process in others:
            process.join()
        failed = [rank for rank, process in enumerate(others, start=1) if process.exitcode]
        if failed:
            raise RuntimeError(f"process {failed[0]} of {world_size} failed; its own message says why")
    finally:
        for process in others:
            if process.pid is not None:  # it was started
                process.kill()
        _leave()
        torch.set_num_threads(threads)
        for name, value in before.items():  # so that another job of this process starts clean
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def _spawning() -> Iterator[None]:
    """Sets the start method to spawn, as child processes do not know the method of joblib's processes."""
    method = multiprocessing.get_start_method()
    multiprocessing.set_start_method("spawn", force=True)
    try:
        yield
    finally:
        multiprocessing.set_start_method(method, force=True)


def _other(
    here: Connection,
    environment: LocalEnvironment,
    backend: str,
    threads: int,
    target: Callable[..., object],
    args: tuple[object, ...],
) -> None:
    """Runs `target` in another process than the first."""
    here.send(None)
    here.close()
    torch.set_num_threads(threads)
    store = _store(environment.main_port, environment.size)
    dist.init_process_group(backend, store=store, rank=environment.rank, world_size=environment.size)
    target(environment, *args)
    _leave()


def _store(port: int, world_size: int, listening: int | None = None) -> TCPStore:
    """Returns where the processes meet; the first of them gives the socket that listens at `port`."""
    return TCPStore(
        LocalEnvironment.main_address,
        port,
        world_size,
        is_master=listening is not None,
        wait_for_workers=False,
        master_listen_fd=listening,
        use_libuv=False,
    )


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
