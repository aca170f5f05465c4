"""The command `python -m acenas.latency`: how long networks of a space take on this machine."""

import sys

from acenas.errors import command_status

if __name__ == "__main__":
    sys.exit(command_status("acenas.run.commands.latency"))
