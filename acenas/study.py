"""The command `python -m acenas.study`: a study that is asked and told by hand, with CSV in and out."""

import sys

from acenas.errors import command_status

if __name__ == "__main__":
    sys.exit(command_status("acenas.run.commands.study"))
