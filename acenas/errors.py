"""The error that a user can act on, words for its message, and the exit status of commands."""

import difflib
import errno
import re
import sys
from collections.abc import Callable, Collection
from io import TextIOWrapper
from typing import Any

LONGEST_WORD, LONGEST = 200, 2000
"""Characters of a word and of a message: what they quote of a damaged file must not hide what is wrong with it."""


class UserError(Exception):
    """Something the user can mend: a wrong choice, a missing file, data that does not fit.

    The command prints its message alone, without a traceback, so the message says what is wrong and what to do.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(quotable(message))


def quotable(text: str) -> str:
    r"""Returns `text` as messages quote it: not too long, and what would command a terminal, or is no text, escaped.

    >>> quotable("\x1b[31mred")
    '\\x1b[31mred'
    """
    text = "".join(each if each.isprintable() or each == "\n" else repr(each)[1:-1] for each in text)
    long_word = rf"\S{{{LONGEST_WORD + 1},}}"
    return shortened(re.sub(long_word, lambda word: shortened(word[0], LONGEST_WORD), text), LONGEST)


def shortened(text: str, length: int = 48) -> str:
    """Returns `text` without its middle where it is longer than `length`.

    >>> shortened("search.acquisition.best=0.6", 15)
    'search … st=0.6'
    """
    half = (length - 3) // 2
    return text if len(text) <= length else f"{text[: length - 3 - half]} … {text[-half:]}"


def reason_of(error: BaseException) -> str:
    r"""Returns why a training failed, in a line: the type of what it raised, and the first line of the message.

    >>> reason_of(ValueError("too wide\nfor this GPU")), reason_of(UserError("the loss is nan"))
    ('ValueError: too wide', 'the loss is nan')
    """
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # of a class of the user's, whose message is no text
        lines = []
    name = "" if isinstance(error, UserError) else type(error).__name__
    return quotable(": ".join(part for part in (name, *lines[:1]) if part) or type(error).__name__)


def listed(values: Collection[Any], most: int = 12) -> str:
    """Returns `values` in words, the first `most` of them.

    >>> listed([3, 5, 7])
    '3, 5 or 7'
    """
    words = [str(value) for value in list(values)[:most]]
    if len(values) > most:
        return f"{', '.join(words)} and {len(values) - most} more"
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


SLIP = 0.8
"""How similar a name is, of 1, to what it is a slip of the pen for, as `parms_m` is for `params_m`."""


def near(name: Any, names: Collection[Any], least: float = 0.6) -> str:
    """Returns a hint at the one of `names` that is most similar to `name`; empty where none is, by `least` of 1."""
    found = difflib.get_close_matches(str(name), [str(each) for each in names], 1, least)
    return f" (did you mean {found[0]}?)" if found else ""


def unwritable(error: BaseException | None) -> UserError | None:
    """Returns what to say of the error of a file system that is full, or a folder that cannot be; None for others."""
    numbers = (
        *(errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT, errno.EIO),
        *(errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP),
    )
    if not isinstance(error, OSError) or error.errno not in numbers:
        return None
    name = error.filename2 or error.filename
    where = f"{name}: " if name else ""
    return UserError(f"{where}{error.strerror}; make room, or name a folder that can be written")


def exit_status(command: Callable[[], int | None], stopped: str = "stopped") -> int:
    """Runs a command and returns its exit status: 0, what it returns, 2 after a `UserError`, 130 after an interrupt.

    Args:
        command: Its work, and what it imports: an interrupt in that second is no more than one in the rest.
        stopped: Is said after an interrupt.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # names of files may be no text
            stream.reconfigure(errors="backslashreplace")
    try:
        return command() or 0
    except UserError as error:
        print(f"acenas: error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if (told := unwritable(error)) is None:
            raise
        print(f"acenas: error: {told}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"acenas: {stopped}", file=sys.stderr)
        return 130


def require_one_of(option: str, value: object, choices: Collection[object]) -> None:
    """Raises `UserError` where the value of an option is none of its choices."""
    if value not in choices:
        raise UserError(f"{option} is {listed(choices)}, not {value!r}")


def require_at_least(least: float, group: str, most: float | None = None, **options: float | None) -> None:
    """Raises `UserError` for the first of the options of a group that is below `least` or above `most`, or is NaN.

    None is allowed.
    """
    for name, value in options.items():
        if value is not None and not (least <= value and (most is None or value <= most)):
            above = "" if most is None else f" and at most {most}"
            raise UserError(f"{group}{name} must be at least {least}{above}, not {value}")
