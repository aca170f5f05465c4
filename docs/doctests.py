"""An extension of griffe: the doctests of a docstring are its examples, and the site shows them as code."""

import re
import textwrap
from typing import Any

import griffe


class Doctests(griffe.Extension):
    """Puts a heading of Google's style over the doctests, which stand without one in the code."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrites the docstring of a module, class, function or attribute."""
        if obj.docstring:
            obj.docstring.value = re.sub(
                r"^>>> (?:.+\n?)+",
                lambda found: "Examples:\n" + textwrap.indent(found[0], "    "),
                obj.docstring.value,
                flags=re.MULTILINE,
            )
