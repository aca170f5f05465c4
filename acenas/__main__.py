"""The command `python -m acenas`: runs one experiment, or a sweep of them."""

import sys

from acenas.run.commands.run import main

if __name__ == "__main__":
    sys.exit(main())
