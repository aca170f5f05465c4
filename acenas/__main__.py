"""The command `python -m acenas`: runs one experiment, or a sweep of them."""

import sys

from acenas.errors import command_status


def main() -> int:
    """Runs the command; returns its exit status."""
    return command_status("acenas.run.commands.run", "stopped; the same command goes on")


if __name__ == "__main__":
    sys.exit(main())
