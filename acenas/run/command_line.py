"""What a user gives as `KEY=VALUE`: read as it was meant, and refused in one sentence where Hydra cannot read it."""

import os
import re
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
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from acenas.errors import UserError, exit_status, listed, near, unwritable
from acenas.files import own_configs
from acenas.run.config import (
    NO_EXPERIMENT,
    TEXTS,
    check_config,
    check_overrides,
    composing,
    conf_dir,
    values_in,
)


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
    with sentences(overrides=overrides), composing():
        cfg = compose("config", list(overrides), return_hydra_config=True)
        groups = cfg.hydra.runtime.choices
        with flag_override(cfg, ["struct", "readonly"], False):
            del cfg["hydra"]
        check_overrides(cfg, overrides, groups, "config")
        check_config(cfg)
    return cfg


@contextmanager
def sentences(
    job: CodeType | None = None, overrides: Sequence[str] = (), config: str = "config"
) -> Iterator[None]:
    """Raises `UserError` in place of Hydra's errors about a configuration.

    Args:
        job: The code that Hydra runs with the configuration; its own errors stay as they are.
        overrides: That it is composed with; of wrong keys similar ones are named.
        config: The name of the primary one.
    """
    own_configs()
    try:
        yield
    # ValueError: choices of groups that are no names. OSError: files whose names the system refuses.
    except (HydraException, OmegaConfBaseException, ValueError, OSError) as error:
        if _is_of(job, error):
            raise
        told = unwritable(error.__cause__ or error)
        raise (told or UserError(_in_words(error, overrides, config))) from error


def _in_words(error: BaseException, overrides: Sequence[str], config: str) -> str:
    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        return f"there is no {group}={name}{near(name, error.options)}; choose {listed(sorted(error.options), 40)}"
    if found := re.match(r"Could not override '([^']+)'", str(error)):
        return f"there is no key {found[1]}{_similar(found[1], overrides, config)}; --help names the most important"
    if "${experiment}" in str(error):  # the defaults of the primary configuration name it
        return NO_EXPERIMENT
    if isinstance(error, InterpolationResolutionError):
        return _unresolved(error, overrides)
    return "; ".join(map(_sentence, filter(None, (error, error.__cause__))))


def _unresolved(error: InterpolationResolutionError, overrides: Sequence[str]) -> str:
    """What is wrong with a value that stands for another one, and where it was given."""
    reason = str(error).splitlines()[0]
    if found := re.match(r"Interpolation key '([^']+)' not found", reason):
        reason = f"there is no key {found[1]}"
    elif found := re.search(r"Environment variable '([^']+)' not found", reason):
        reason = f"there is no environment variable {found[1]}"
    texts = [each for each in overrides if "${" in each]
    where = next(
        (each for each in texts if found and found[1] in each), texts[0] if texts else error.full_key
    )
    return f"{where}: {reason}; write the value itself, or the name of a key that there is"


def _similar(key: str, overrides: Sequence[str], config: str) -> str:
    """A hint at a key or a group that is similar to `key`, in the configuration with the groups that are chosen."""
    chosen = [each for each in overrides if (Path(conf_dir()) / each.partition("=")[0]).is_dir()]
    try:
        with composing():
            cfg = compose(config, [each for each in chosen if not each.startswith(key)])
    except (HydraException, OmegaConfBaseException):
        return ""
    keys = [name for name, _ in values_in(OmegaConf.to_container(cfg, resolve=False))]
    inner = [name for name in keys if name.endswith(f".{key}")]
    groups = [path.name for path in Path(conf_dir()).iterdir() if path.is_dir()]
    return f" (did you mean {inner[0]}?)" if inner else near(key, [*keys, *groups])


def _is_of(job: CodeType | None, error: BaseException) -> bool:
    """Whether an error was raised while the job ran."""
    return any(frame.f_code is job for frame, _ in traceback.walk_tb(error.__traceback__))


def _sentence(error: BaseException) -> str:
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        return f"{error.full_key}: {str(error).splitlines()[0]}"
    return " ".join(str(error).split())


def run_application(application: Callable[[], Any], stopped: str = "stopped", config: str = "config") -> int:
    """Runs what `hydra.main` has decorated, with the arguments of the command; returns its exit status.

    Args:
        application: Of a command.
        stopped: Is said after an interrupt.
        config: The name of the primary configuration.
    """
    job: CodeType = application.__wrapped__.__code__  # type: ignore[attr-defined]

    def run() -> None:
        sweep = bool({"-m", "--multirun"} & set(sys.argv))
        sys.argv[1:] = as_meant(sys.argv[1:], sweep)
        os.environ["HYDRA_FULL_ERROR"] = (
            "1"  # errors are raised, so that all commands tell of them in the same way
        )
        with sentences(job, sys.argv[1:], config):
            try:
                application()
            except (OSError, ValueError) as error:
                if _is_of(job, error) or unwritable(error.__cause__ or error) is None:
                    raise
                # Hydra cannot write its own files; a run that is done can be shown without them.
                sys.argv += ["hydra.output_subdir=null", "hydra/job_logging=stdout"]
                application()

    return exit_status(run, stopped)
