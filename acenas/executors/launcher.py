"""The launchers `torchrun` and `srun`, which start a command several times: asked without importing Lightning."""

import os


def launched_rank() -> int | None:
    """Returns the number of this process among those that a launcher has started; None where it is alone.

    Shells of an allocation, and jobs that have left variables behind, are no launchers. Variables that hold no number
    count as unset.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return _number("RANK", 0)
    shell = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")  # names of `salloc` and `srun --pty`
    return _number("SLURM_PROCID", 0) if _number("SLURM_NTASKS", 1) > 1 and not shell else None


def _number(name: str, default: int) -> int:
    value = os.environ.get(name, "").strip()
    return int(value) if value.isdecimal() else default
