"""The command `python -m acenas.final`: measures the trained network of a run."""

import sys
from importlib import import_module

from acenas.errors import exit_status

if __name__ == "__main__":
    sys.exit(exit_status(lambda: import_module("acenas.run.commands.final").main()))
