"""The command `python -m acenas.benchmark`: methods side by side, over tasks, budgets and seeds."""

import sys

from acenas.errors import command_status

if __name__ == "__main__":
    sys.exit(command_status("acenas.run.commands.benchmark"))
