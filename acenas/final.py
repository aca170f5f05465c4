"""The command `python -m acenas.final`: measures the trained network of a run."""

import sys

from acenas.run.commands.final import main

if __name__ == "__main__":
    sys.exit(main())
