"""The command `python -m acenas.export`: writes the trained network of a run for others to use."""

import sys
from importlib import import_module

from acenas.errors import exit_status

if __name__ == "__main__":
    sys.exit(exit_status(lambda: import_module("acenas.run.commands.export").main()))
