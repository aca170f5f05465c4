"""The error that a user can act on."""


class UserError(Exception):
    """Something the user can mend: a wrong choice, a missing file, data that does not fit.

    The command prints its message alone, without a traceback, so the message says what is wrong and what to do.
    """
