import errno
import os
from pathlib import Path

import pytest

from acenas.errors import LONGEST, LONGEST_WORD, UserError, exit_status


def test_messages_quote_little_of_what_is_wrong() -> None:
    assert str(UserError("a word of usual length, " * 10)) == "a word of usual length, " * 10
    message = str(UserError(f"{'x' * 1000} is no number"))
    assert message.startswith("xxx") and " … xxx" in message and message.endswith("x is no number")
    assert len(message) <= LONGEST_WORD + len(" is no number")
    assert len(str(UserError("a b " * 10_000))) <= LONGEST


@pytest.mark.parametrize(
    "number",
    [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EDQUOT, errno.EEXIST, errno.ENOTDIR, errno.ENAMETOOLONG],
)
def test_what_cannot_be_written_is_one_message_of_every_command(
    capsys: pytest.CaptureFixture[str], number: int
) -> None:
    def write() -> None:
        raise OSError(number, os.strerror(number), "out/page.html")

    assert exit_status(write) == 2
    told = capsys.readouterr().err
    assert told == (
        f"acenas: error: out/page.html: {os.strerror(number)}; make room, or name a folder that can be written\n"
    )


def test_other_errors_of_files_are_errors_of_the_program() -> None:
    with pytest.raises(FileNotFoundError):
        exit_status(lambda: Path("nowhere").stat().st_size)
