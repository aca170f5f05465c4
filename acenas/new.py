"""The command `python -m acenas.new`: a commented start of a space, a table, an evaluator or an experiment."""

import sys
from importlib import import_module

from acenas.errors import exit_status

if __name__ == "__main__":
    sys.exit(exit_status(lambda: import_module("acenas.run.commands.new").main()))
