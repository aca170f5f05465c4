"""Packages whose public names are imported when they are first used."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and the `__dir__` (PEP 562) of a package.

    Args:
        package: Its `__name__`.
        homes: For each public name the module that has it.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807 (it becomes the package's)
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(import_module(homes[name]), name)
        setattr(sys.modules[package], name, found)
        return found

    return __getattr__, lambda: sorted({*vars(sys.modules[package]), *homes})
