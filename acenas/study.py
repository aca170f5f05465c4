"""The command `python -m acenas.study`: a study that is asked and told by hand, with CSV in and out."""

import sys

from acenas.run.commands.study import main

if __name__ == "__main__":
    sys.exit(main())
