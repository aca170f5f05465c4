"""The command `python -m acenas.new`: a commented start of a space, a table, an evaluator or an experiment."""

import sys

from acenas.errors import command_status

if __name__ == "__main__":
    sys.exit(command_status("acenas.run.commands.new"))
