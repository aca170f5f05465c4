"""The error that a user can act on, and the exit status of commands."""

import re
import sys
from collections.abc import Callable

LONGEST_WORD, LONGEST = 200, 2000
"""Characters of a word and of a message: what they quote of a damaged file must not hide what is wrong with it."""


class UserError(Exception):
    """Something the user can mend: a wrong choice, a missing file, data that does not fit.

    The command prints its message alone, without a traceback, so the message says what is wrong and what to do.
    """

    def __init__(self, message: str = "") -> None:
        # What is quoted of an input must not command the terminal, either.
        message = "".join(
            each if each.isprintable() or each == "\n" else repr(each)[1:-1] for each in message
        )
        long_word = rf"\S{{{LONGEST_WORD + 1},}}"
        super().__init__(_cut(re.sub(long_word, lambda word: _cut(word[0], LONGEST_WORD), message), LONGEST))


def _cut(text: str, length: int) -> str:
    """Returns `text` without its middle where it is longer than `length`."""
    half = (length - 5) // 2
    return text if len(text) <= length else f"{text[:half]} ... {text[-half:]}"


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
