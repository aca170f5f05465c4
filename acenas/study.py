"""The command `python -m acenas.study`: a study that is asked and told by hand, with CSV in and out."""

import sys
from importlib import import_module

from acenas.errors import exit_status

if __name__ == "__main__":
    sys.exit(exit_status(lambda: import_module("acenas.run.commands.study").main()))
