"""Texts that others wrote, such as the names of a stranger's run, within Markdown, LaTeX, HTML and tables."""

import re
from collections.abc import Mapping

from markupsafe import Markup


def one_line(text: object) -> str:
    """Returns a text without line breaks, and without characters that would command a terminal."""
    return "".join(each if each.isprintable() else " " for each in str(text))


def markdown(text: object) -> str:
    r"""Returns a text as it is shown in Markdown and its tables: no link, picture, code, HTML or cell begins in it.

    >>> markdown("a|b <img src=x>\n# c"), markdown("![x](http://y)"), markdown("p < 0.1")
    ('a\\|b &lt;img src=x> # c', '!\\[x\\](http://y)', 'p < 0.1')
    """
    escaped = re.sub(r"([\\`*|\[\]])", r"\\\1", one_line(text))
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", escaped)


def code(text: object) -> str:
    """Returns what stands between the backticks of code in Markdown, in a line of its own or not."""
    return one_line(text).replace("`", "'")


def latex(text: object) -> str:
    r"""Returns a text with LaTeX's special characters escaped.

    >>> latex("50 % of a_b\n^")
    '50 \\% of a\\_b \\^{}'
    """
    text = re.sub(r"([&%$#_{}])", r"\\\1", one_line(text).replace("\\", "/"))
    return re.sub(r"([~^])", r"\\\1{}", text)


def cell(value: object) -> object:
    """Returns a cell of a table; a text that programs would take for a formula has an apostrophe before it.

    >>> cell("=cmd|' /C calc'!A0"), cell(-1.5)
    ("'=cmd|' /C calc'!A0", -1.5)
    """
    if not isinstance(value, str):
        return value
    text = one_line(value)  # some programs begin a row at each line break
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) else text


def html_code(text: object) -> Markup:
    """Returns a text as code of HTML."""
    return Markup("<code>{}</code>").format(text)


def html_table(caption: str, rows: Mapping[str, str]) -> str:
    """Returns a table of names and values for a notebook; both are escaped, unless they are `Markup`."""
    row = Markup("<tr><th>{}</th><td>{}</td></tr>")
    cells = Markup("").join(row.format(name, value) for name, value in rows.items())
    return str(Markup("<table><caption>{}</caption>{}</table>").format(caption, cells))
