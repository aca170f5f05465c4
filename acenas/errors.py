"""The error that a user can act on, and the exit status of commands."""

import re
import sys
from collections.abc import Callable

QUOTED = 200
"""Characters of an input that a message shows at most."""


class UserError(Exception):
    """Something the user can mend: a wrong choice, a missing file, data that does not fit.

    The command prints its message alone, without a traceback, so the message says what is wrong and what to do. Of a
    longer word than `QUOTED`, such as a wrong value, it shows the first and the last characters.

    >>> len(str(UserError(f"there is no {'x' * 10_000}")))
    212
    """

    def __str__(self) -> str:
        return re.sub(rf"(\S{{{QUOTED - 51}}})\S{{2,}}(\S{{50}})", r"\1…\2", super().__str__())


def exit_status(command: Callable[[], int | None], stopped: str = "stopped") -> int:
    """Runs a command and returns its exit status: 0, what it returns, 2 after a `UserError`, 130 after an interrupt.

    Args:
        command: Its work.
        stopped: Is said after an interrupt.
    """
    try:
        return command() or 0
    except UserError as error:
        print(f"acenas: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"acenas: {stopped}", file=sys.stderr)
        return 130
