"""The command `python -m acenas.final`: measures the trained network of a run."""

import sys

from acenas.errors import command_status

if __name__ == "__main__":
    sys.exit(command_status("acenas.run.commands.final"))
