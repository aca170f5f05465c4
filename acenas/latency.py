"""The command `python -m acenas.latency`: how long networks of a space take on this machine."""

import sys

from acenas.run.commands.latency import main

if __name__ == "__main__":
    sys.exit(main())
