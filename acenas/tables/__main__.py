"""The command `python -m acenas.tables list | info | verify | get | import | join`."""

import sys
from importlib import import_module

from acenas.errors import exit_status

if __name__ == "__main__":
    sys.exit(exit_status(lambda: import_module("acenas.tables.command").main()))
