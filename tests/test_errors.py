from acenas.errors import LONGEST, LONGEST_WORD, UserError


def test_messages_quote_little_of_what_is_wrong() -> None:
    assert str(UserError("a word of usual length, " * 10)) == "a word of usual length, " * 10
    message = str(UserError(f"{'x' * 1000} is no number"))
    assert message.startswith("xxx") and " ... xxx" in message and message.endswith("x is no number")
    assert len(message) <= LONGEST_WORD + len(" is no number")
    assert len(str(UserError("a b " * 10_000))) <= LONGEST
