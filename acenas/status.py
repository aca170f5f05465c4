"""The command `python -m acenas.status`: how far the runs in a folder are."""

import sys

from acenas.errors import command_status

if __name__ == "__main__":
    sys.exit(command_status("acenas.run.commands.status"))
