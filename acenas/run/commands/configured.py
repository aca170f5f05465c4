"""What the commands that Hydra configures share: a check before it composes, and how they end."""

import atexit
import gc
import sys
from collections.abc import Callable
from functools import wraps

import hydra
from omegaconf import DictConfig

from acenas.errors import UserError
from acenas.run.config import check_arguments, conf_dir


def configured(name: str) -> Callable[[Callable[[DictConfig], None]], Callable[[], None]]:
    """Makes a command of a function, which is called with the configuration `name` and the overrides of the user.

    A `UserError` is a line on the standard error and exit status 2, an interrupt one with status 130.
    """

    def decorate(run: Callable[[DictConfig], None]) -> Callable[[], None]:
        @wraps(run)
        def task(cfg: DictConfig) -> None:
            try:
                run(cfg)
            except UserError as error:  # here, as Hydra prints the traceback of what it receives
                _stop(f"error: {error}", 2)

        main = hydra.main(version_base="1.3", config_path=conf_dir(), config_name=name)(task)

        @wraps(run)
        def command() -> None:
            atexit.register(gc.freeze)  # to look for garbage when all ends takes a second
            try:
                check_arguments(sys.argv[1:])
                main()
            except UserError as error:
                _stop(f"error: {error}", 2)
            except KeyboardInterrupt:
                _stop("stopped; the same command goes on", 130)

        return command

    return decorate


def _stop(message: str, status: int) -> None:
    print(f"acenas: {message}", file=sys.stderr)
    sys.exit(status)
