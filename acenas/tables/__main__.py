"""The command `python -m acenas.tables list | info | verify | get | import | join`."""

import sys

from acenas.errors import command_status

if __name__ == "__main__":
    sys.exit(command_status("acenas.tables.command"))
