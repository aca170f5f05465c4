"""The command `python -m acenas.benchmark`: methods side by side, over tasks, budgets and seeds."""

import sys

from acenas.run.commands.benchmark import main

if __name__ == "__main__":
    sys.exit(main())
