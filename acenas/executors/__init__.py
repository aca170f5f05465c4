"""Where pieces of work run: processes of this machine, jobs of SLURM, tasks of Ray."""

from acenas.executors.base import Executor, Lost
from acenas.executors.local import LocalProcesses
from acenas.executors.ray import Ray
from acenas.executors.slurm import Slurm

__all__ = ["Executor", "LocalProcesses", "Lost", "Ray", "Slurm"]
