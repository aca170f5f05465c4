"""The command `python -m acenas.export`: writes the trained network of a run for others to use."""

import sys

from acenas.errors import command_status

if __name__ == "__main__":
    sys.exit(command_status("acenas.run.commands.export"))
