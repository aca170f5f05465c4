"""The command `python -m acenas.latency`: how long networks of a space take on this machine."""

import sys
from importlib import import_module

from acenas.errors import exit_status

if __name__ == "__main__":
    sys.exit(exit_status(lambda: import_module("acenas.run.commands.latency").main()))
