"""The command `python -m acenas`: runs one experiment, or a sweep of them."""

import sys
from importlib import import_module

from acenas.errors import exit_status


def main() -> int:
    """Runs the command; returns its exit status."""
    return exit_status(
        lambda: import_module("acenas.run.commands.run").main(), "stopped; the same command goes on"
    )


if __name__ == "__main__":
    sys.exit(main())
