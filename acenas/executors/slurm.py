"""Jobs of a SLURM cluster, by submitit."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Generic

from typing_extensions import override

from acenas.errors import UserError
from acenas.executors.base import Executor, Lost, R
from acenas.files import lock_of, write_text

NOTE = ".slurm_job"
"""The file in the folder of a piece of work that names its job."""


class Slurm(Executor):
    """Jobs of SLURM, which outlive the process that submitted them: asked for the same work again, it waits for them.

    The state of the jobs is read from the queue (`squeue`) and from the files that they leave, so that no accounting is
    needed. The folders of the work must be on a disk that the machines share; each job has a folder in `logs` with what
    it printed.

    A job that SLURM is about to end for its time limit, or pre-empts with a warning (SIGUSR2), is queued again at once
    by submitit. Jobs ignore the SIGTERM of a pre-emption: SLURM queues a job again when it has ended it, but not where
    the job ended by itself. A job that was lost otherwise is submitted again by the process that waits for it.

    Args:
        partition: and other options of `sbatch`, by its names; None leaves each to the cluster.
        account: see `sbatch`.
        qos: see `sbatch`.
        constraint: see `sbatch`.
        timeout_min: minutes after which a job is queued again, to go on where it was.
        nodes: of each job.
        tasks_per_node: processes on each node; more than one for `trainer=ddp` alone.
        cpus_per_task: cores of each of them.
        gpus_per_node: None for none.
        mem_gb: of each node; None leaves it to the cluster.
        setup: lines of shell to run before the job, such as `module load`.
        additional_parameters: whatever else `sbatch` takes, by name.
        signal_delay_s: seconds between SLURM's warning and the end of a job's time.
        max_num_timeout: times that a job may run into its time limit.
        retries: times that a job is submitted again that left the queue without a result.

    Raises:
        UserError: where there is no SLURM on this machine, or no submitit.
    """

    def __init__(
        self,
        *,
        partition: str | None = None,
        account: str | None = None,
        qos: str | None = None,
        constraint: str | None = None,
        timeout_min: int = 1440,
        nodes: int = 1,
        tasks_per_node: int = 1,
        cpus_per_task: int = 1,
        gpus_per_node: int | None = None,
        mem_gb: float | None = None,
        setup: Sequence[str] | None = None,
        additional_parameters: Mapping[str, Any] | None = None,
        signal_delay_s: int = 120,
        max_num_timeout: int = 100,
        retries: int = 2,
    ) -> None:
        _submitit()
        missing = [program for program in ("sbatch", "squeue", "srun") if shutil.which(program) is None]
        if missing:
            raise UserError(f"there is no SLURM here: {', '.join(missing)} not found in PATH")
        options = {
            "job_name": "acenas",
            "partition": partition,
            "account": account,
            "qos": qos,
            "constraint": constraint,
            "time": timeout_min,
            "nodes": nodes,
            "ntasks_per_node": tasks_per_node,
            "cpus_per_task": cpus_per_task,
            "gpus_per_node": gpus_per_node,
            "mem": f"{1024 * mem_gb:.0f}MB" if mem_gb else None,
            "setup": list(setup) if setup else None,
            "signal_delay_s": signal_delay_s,
        }
        self.parameters: dict[str, Any] = {
            name: value for name, value in options.items() if value is not None
        }
        self.parameters["additional_parameters"] = {"requeue": True, **(additional_parameters or {})}
        # One process of a job that is killed takes the others with it, rather than let them wait.
        self.parameters["srun_args"] = ["--kill-on-bad-exit=1"]
        self.max_num_timeout = max_num_timeout
        self.retries = retries

    @override
    def run(
        self, work: Mapping[Path, Callable[[], R]], logs: Path, limit: int | None = None
    ) -> Iterator[tuple[Path, R | Lost]]:
        jobs = jobs_in_queue(work)
        waiting = {folder: piece for folder, piece in work.items() if folder not in jobs}
        left = dict.fromkeys(work, self.retries)
        queue = _Queue()
        while waiting or jobs:
            # SLURM itself keeps to the limit among what is submitted together, and does so without this process.
            room = len(waiting) if limit is None or not jobs else max(limit - len(jobs), 0)
            if chosen := list(waiting)[:room]:
                jobs |= self._submit({folder: waiting.pop(folder) for folder in chosen}, logs, limit)
                queue.changed()
            time.sleep(1)
            for folder, job in list(jobs.items()):
                if _result_file(job).exists():
                    del jobs[folder]
                    queue.changed()
                    yield folder, _result(job)
            for folder in queue.without(jobs):
                job = jobs.pop(folder)
                if left[folder]:
                    left[folder] -= 1
                    waiting[folder] = work[folder]
                else:
                    yield folder, Lost(f"job {job.name} left the queue without a result; see {job}")

    def _submit(
        self, work: Mapping[Path, Callable[[], R]], logs: Path, limit: int | None
    ) -> dict[Path, Path]:
        """Submits jobs for `work`; returns them, and those that another process has submitted meanwhile."""
        logs.mkdir(parents=True, exist_ok=True)
        with lock_of(logs / "lock"):  # so that no work is submitted twice
            jobs = jobs_in_queue(work)
            new = [folder for folder in work if folder not in jobs]
            if not new:
                return jobs
            submitit = _submitit()
            now = logs / time.strftime("%Y-%m-%d_%H-%M-%S")  # the numbers of jobs may begin anew
            executor = submitit.SlurmExecutor(now / "%j", max_num_timeout=self.max_num_timeout)
            executor.update_parameters(**self.parameters, array_parallelism=limit or len(new))
            try:
                with _outside_of_jobs():
                    made = executor.submit_array([_Work(work[folder]) for folder in new])
            except submitit.core.utils.FailedJobError as error:
                raise UserError(f"SLURM does not take the jobs: {error}") from error
            for folder, job in zip(new, made, strict=True):
                jobs[folder] = now.absolute() / job.job_id
                write_text(folder / NOTE, str(jobs[folder]))
        return jobs


class _Work(Generic[R]):
    """A piece of work for submitit, which can send it again at any moment as it was at first."""

    def __init__(self, piece: Callable[[], R]) -> None:
        self.pickled: bytes = _submitit().core.utils.cloudpickle.dumps(piece)

    def __call__(self) -> R:
        # Inherited by its child processes. Lightning would end a training by itself, without an error.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        piece: Callable[[], R] = _submitit().core.utils.cloudpickle.loads(self.pickled)
        return piece()

    def checkpoint(self) -> Any:
        return _submitit().helpers.DelayedSubmission(self)


class _Queue:
    """Reads the queue: soon after a change, and later every half minute."""

    def __init__(self) -> None:
        self.changed()
        self._missed: set[Path] = set()

    def changed(self) -> None:
        """Reads the queue soon again."""
        self._wait = 2.0
        self._next = time.monotonic() + self._wait

    def without(self, jobs: Mapping[Path, Path]) -> list[Path]:
        """Returns the folders whose jobs were missing in two readings in a row: the disk may show results late."""
        if time.monotonic() < self._next or (queued := _queued()) is None:
            return []
        self._wait = min(2 * self._wait, 30.0)
        self._next = time.monotonic() + self._wait
        missing = {folder for folder, job in jobs.items() if job.name not in queued}
        gone, self._missed = missing & self._missed, missing
        if missing - gone:
            self.changed()
        return sorted(gone)


def _queued() -> set[str] | None:
    """Returns the jobs of this user that wait or run; None where SLURM does not answer."""
    command = ["squeue", "--me", "--array", "--noheader", "--format=%i"]
    done = subprocess.run(command, capture_output=True, text=True)
    return set(done.stdout.split()) if done.returncode == 0 else None


def jobs_in_queue(work: Iterable[Path]) -> dict[Path, Path]:
    """Returns the folders of the jobs that wait or run for pieces of `work`, from the notes in their folders."""
    notes = {folder: folder / NOTE for folder in work}
    noted = {
        folder: Path(note.read_text(errors="replace")) for folder, note in notes.items() if note.exists()
    }
    queued = _queued() if noted else set()
    return {folder: job for folder, job in noted.items() if queued is None or job.name in queued}


@contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """Hides the job in which this process may run itself: `sbatch` would take its size for that of the new ones."""
    where = {name: os.environ[name] for name in ("SLURM_CONF",) if name in os.environ}
    with _submitit().helpers.clean_env():
        os.environ.update(where)
        yield


def _result_file(job: Path) -> Path:
    """Returns the file that the first task of a job writes when it ends."""
    return job / f"{job.name}_0_result.pkl"


def _result(job: Path) -> Any:
    outcome, result = _submitit().core.utils.pickle_load(_result_file(job))
    if outcome == "success":
        return result
    return Lost(f"job {job.name}: {str(result).strip().splitlines()[-1]}; see {job}")


def _submitit() -> Any:
    try:
        return import_module("submitit")
    except ImportError as error:
        raise UserError("jobs of SLURM need submitit: pip install 'acenas[sweeps]'") from error
