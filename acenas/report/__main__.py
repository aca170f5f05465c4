"""The command `python -m acenas.report`: finished runs side by side."""

import sys
from importlib import import_module

from acenas.errors import exit_status

if __name__ == "__main__":
    sys.exit(exit_status(lambda: import_module("acenas.report.command").main()))
