"""Where pieces of work run: processes of this machine, jobs of SLURM, tasks of Ray."""

from typing import TYPE_CHECKING

from acenas.lazy import lazy

if TYPE_CHECKING:
    from acenas.executors.base import Executor, Lost
    from acenas.executors.local import LocalProcesses
    from acenas.executors.ray import Ray
    from acenas.executors.slurm import Slurm

__all__ = ["Executor", "LocalProcesses", "Lost", "Ray", "Slurm"]

# A process that is started imports this package before it watches who started it.
__getattr__, __dir__ = lazy(
    __name__,
    {
        **dict.fromkeys(("Executor", "Lost"), "acenas.executors.base"),
        "LocalProcesses": "acenas.executors.local",
        "Ray": "acenas.executors.ray",
        "Slurm": "acenas.executors.slurm",
    },
)
