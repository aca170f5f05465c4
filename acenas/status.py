"""The command `python -m acenas.status`: how far the runs in a folder are."""

import sys

from acenas.run.commands.status import main

if __name__ == "__main__":
    sys.exit(main())
