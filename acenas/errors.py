"""The error that a user can act on, and words for its message."""

import difflib
from collections.abc import Collection
from typing import Any


class UserError(Exception):
    """Something the user can mend: a wrong choice, a missing file, data that does not fit.

    The command prints its message alone, without a traceback, so the message says what is wrong and what to do.
    """


def first_line(error: Exception) -> str:
    """Returns the first line of the message of `error`, or its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def listed(values: Collection[Any], most: int = 12) -> str:
    """Returns `values` in words, the first `most` of them.

    >>> listed([3, 5, 7])
    '3, 5 or 7'
    """
    words = [str(value) for value in list(values)[:most]]
    if len(values) > most:
        return f"{', '.join(words)} and {len(values) - most} more"
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def near(name: Any, names: Collection[Any]) -> str:
    """Returns a hint at the one of `names` that is most similar to `name`; empty where none is similar."""
    found = difflib.get_close_matches(str(name), [str(each) for each in names], n=1)
    return f" (did you mean {found[0]}?)" if found else ""


def require_one_of(option: str, value: object, choices: Collection[object]) -> None:
    """Raises `UserError` where the value of an option is none of its choices."""
    if value not in choices:
        raise UserError(f"{option} is {listed(choices)}, not {value!r}")


def require_at_least(least: float, group: str, **options: float | None) -> None:
    """Raises `UserError` for the first of the options of a group that is below `least`; None is allowed."""
    for name, value in options.items():
        if value is not None and value < least:
            raise UserError(f"{group}{name} must be at least {least}, not {value}")
