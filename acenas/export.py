"""The command `python -m acenas.export`: writes the trained network of a run for others to use."""

import sys

from acenas.run.commands.export import main

if __name__ == "__main__":
    sys.exit(main())
