"""What a user gives as `KEY=VALUE`: read as it was meant, and refused in one sentence where Hydra cannot read it."""

import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import Any

from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, flag_override
from omegaconf.errors import OmegaConfBaseException

from acenas.errors import UserError, exit_status, unwritable
from acenas.run.config import TEXTS, check_config, check_overrides, composing, conf_dir


def as_meant(overrides: Sequence[str], sweep: bool = False) -> list[str]:
    """Quotes the values that Hydra's grammar has no place for, such as architectures with `|` or `=`.

    Args:
        overrides: Arguments of the command; options such as `--multirun` stay as they are.
        sweep: Whether commas separate the values of a sweep.

    Raises:
        UserError: Where a choice of a group is no name.

    >>> as_meant(["seed=1", "arch=kind=conv,width=16"])
    ['seed=1', 'arch="kind=conv,width=16"']
    >>> as_meant(["arch=|none~0|,|skip~0|"], sweep=True)
    ['arch="|none~0|","|skip~0|"']
    """
    return [_as_meant(override, sweep) for override in overrides]


def _as_meant(override: str, sweep: bool) -> str:
    key, equals, value = override.partition("=")
    if not equals or override.startswith("-"):
        return override
    try:
        parsed = OverridesParser.create().parse_override(override)
        found = parsed.value()
        if not sweep and key in TEXTS and not isinstance(found, str | None):
            raise HydraException
    except HydraException:
        parts = value.split(",") if sweep else [value]
        return f"{key}={','.join(QuotedString(part, Quote.double).with_quotes() for part in parts)}"
    group = Path(conf_dir()) / key
    if (
        "." not in key
        and group.is_dir()
        and not (isinstance(found, str | list) or parsed.is_sweep_override())
    ):
        names = ", ".join(sorted(path.stem for path in group.glob("*.yaml")))
        none = f"; for none of them write '~{key}'" if found is None else ""
        raise UserError(f"{override}: choose a name, such as {names}{none}")
    return override


def checked_config(overrides: Sequence[str]) -> DictConfig:
    """Composes the configuration of a run as the command does, with what `as_meant` returns, and checks it.

    Raises:
        UserError: Where it cannot run.
    """
    with sentences(), composing():
        cfg = compose("config", list(overrides), return_hydra_config=True)
        groups = cfg.hydra.runtime.choices
        with flag_override(cfg, ["struct", "readonly"], False):
            del cfg["hydra"]
        check_overrides(cfg, overrides, groups, "config")
        check_config(cfg)
    return cfg


@contextmanager
def sentences(job: CodeType | None = None) -> Iterator[None]:
    """Raises `UserError` in place of Hydra's errors about a configuration.

    Args:
        job: The code that Hydra runs with the configuration; its own errors stay as they are.
    """
    own = os.environ.get("ACENAS_CONF")
    if own and not Path(own).expanduser().is_dir():
        raise UserError(f"ACENAS_CONF={own}: there is no such folder; name that of your configs, or unset it")
    try:
        yield
    # ValueError: choices of groups that are no names. OSError: files whose names the system refuses.
    except (HydraException, OmegaConfBaseException, ValueError, OSError) as error:
        if _is_of(job, error):
            raise
        told = unwritable(error.__cause__ or error)
        raise (
            told or UserError("; ".join(map(_sentence, filter(None, (error, error.__cause__)))))
        ) from error


def _is_of(job: CodeType | None, error: BaseException) -> bool:
    """Whether an error was raised while the job ran."""
    return any(frame.f_code is job for frame, _ in traceback.walk_tb(error.__traceback__))


def _sentence(error: BaseException) -> str:
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        return f"{error.full_key}: {str(error).splitlines()[0]}"
    return " ".join(str(error).split())


def run_application(application: Callable[[], Any], stopped: str = "stopped") -> int:
    """Runs what `hydra.main` has decorated, with the arguments of the command; returns its exit status.

    Args:
        application: Of a command.
        stopped: Is said after an interrupt.
    """
    job: CodeType = application.__wrapped__.__code__  # type: ignore[attr-defined]

    def run() -> None:
        sweep = bool({"-m", "--multirun"} & set(sys.argv))
        sys.argv[1:] = as_meant(sys.argv[1:], sweep)
        os.environ["HYDRA_FULL_ERROR"] = (
            "1"  # errors are raised, so that all commands tell of them in the same way
        )
        with sentences(job):
            try:
                application()
            except (OSError, ValueError) as error:
                if _is_of(job, error) or unwritable(error.__cause__ or error) is None:
                    raise
                # Hydra cannot write its own files; a run that is done can be shown without them.
                sys.argv += ["hydra.output_subdir=null", "hydra/job_logging=stdout"]
                application()

    return exit_status(run, stopped)
