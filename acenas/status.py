"""The command `python -m acenas.status`: how far the runs in a folder are."""

import sys
from importlib import import_module

from acenas.errors import exit_status

if __name__ == "__main__":
    sys.exit(exit_status(lambda: import_module("acenas.run.commands.status").main()))
