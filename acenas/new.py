"""The command `python -m acenas.new`: a commented start of a space, a table, an evaluator or an experiment."""

import sys

from acenas.run.commands.new import main

if __name__ == "__main__":
    sys.exit(main())
