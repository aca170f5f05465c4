"""Tasks of a Ray cluster."""

import os
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from typing_extensions import override

from acenas.errors import UserError
from acenas.executors.base import Executor, Lost, R


class Ray(Executor):
    """Tasks of a Ray cluster, which must see the run folder and have acenas installed (extra `ray`). Ray keeps logs.

    Args:
        address: of the cluster, as `ray.init` takes it; None starts one on this machine for as long as the process
            lives.
        cpus: cores of a task.
        gpus: GPUs of a task, the only ones that it sees; tasks with fractions share one.
        retries: times that a task is started again when its process or machine died.
    """

    def __init__(
        self, *, address: str | None = None, cpus: float = 1, gpus: float = 0, retries: int = 2
    ) -> None:
        _ray()
        self.address = address
        self.cpus = cpus
        self.gpus = gpus
        self.retries = retries

    @override
    def run(
        self, work: Mapping[Path, Callable[[], R]], logs: Path, limit: int | None = None
    ) -> Iterator[tuple[Path, R | Lost]]:
        ray = _ray()
        if not ray.is_initialized():
            own = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"} if not self.address else {}
            ray.init(self.address, log_to_driver=False, logging_level="warning", **own)
        task = ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=self.retries)(_run)
        waiting = dict(work)
        in_flight: dict[Any, Path] = {}
        while waiting or in_flight:
            while waiting and (limit is None or len(in_flight) < limit):
                folder = next(iter(waiting))
                in_flight[task.remote(waiting.pop(folder))] = folder
            (ready,), _ = ray.wait(list(in_flight))
            folder = in_flight.pop(ready)
            try:
                yield folder, ray.get(ready)
            except ray.exceptions.RayError as error:
                yield folder, Lost(str(error).strip())


def _run(piece: Callable[[], R]) -> R:
    return piece()


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # sends nothing to Ray's makers
    try:
        return import_module("ray")
    except ImportError as error:
        raise UserError("evaluator/executor=ray needs Ray: pip install 'acenas[ray]'") from error
