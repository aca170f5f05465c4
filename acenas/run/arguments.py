"""Checks the values of a configuration against the annotations of the classes that take them."""

import builtins
import collections.abc
import inspect
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from acenas.errors import UserError
from acenas.trust import import_name


def check_arguments(values: object, key: str = "") -> None:
    """Checks what `_target_` of this package within `values` are given; imports them, which takes seconds.

    Args:
        values: Of a resolved configuration.
        key: Where they are in it.

    Raises:
        UserError: For a value of another type than the class or function takes.
    """
    if isinstance(values, list):
        for number, value in enumerate(values):
            check_arguments(value, f"{key}.{number}")
    if not isinstance(values, dict):
        return
    ours = str(values.get("_target_")).startswith("acenas.")
    takes = {**(annotations(values["_target_"]) if ours else {}), "_partial_": bool, "_recursive_": bool}
    for name, value in values.items():
        place = f"{key}.{name}" if key else str(name)
        if name in takes and not _fits(value, takes[name]):
            raise UserError(f"{place}={value!r:.100} is not {words(takes[name])}")
        check_arguments(value, place)


@cache
def annotations(target: str) -> dict[str, Any]:
    """Returns the annotation of each parameter that has one, by its name.

    Raises:
        UserError: Where there is no such class or function.
    """
    try:
        made = import_name(target)
        parameters = inspect.signature(made).parameters.values()
    except (TypeError, ValueError) as error:
        raise UserError(f"{target} is no class: {error}") from error
    home = made if not isinstance(made, type) else made.__init__  # type: ignore[misc]
    names = vars(builtins) | getattr(home, "__globals__", {}) | vars(sys.modules[made.__module__])
    found = {}
    for parameter in parameters:
        try:
            annotation = parameter.annotation
            found[parameter.name] = eval(annotation, names) if isinstance(annotation, str) else annotation
        except NameError:  # imported for type checkers alone
            continue
    return {name: each for name, each in found.items() if each is not inspect.Parameter.empty}


def words(annotation: Any) -> str:
    """Returns an annotation as a person writes it.

    >>> words(int | None), words(Literal["max", "min"])
    ('a whole number or null', 'max or min')
    """
    if annotation in (None, NoneType):
        return "null"
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(dict.fromkeys(words(each) for each in get_args(annotation)))
    if get_origin(annotation) is Literal:
        return " or ".join(map(str, get_args(annotation)))
    plain = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    if annotation in plain:
        return plain[annotation]
    kind = get_origin(annotation) or annotation
    if _is_list(kind):
        return "a list"
    return (
        "a mapping"
        if isinstance(kind, type) and issubclass(kind, Mapping)
        else f"made by a _target_: {getattr(kind, '__name__', kind)}"
    )


def _is_list(kind: object) -> bool:
    return (
        isinstance(kind, type)
        and kind is not str
        and issubclass(kind, collections.abc.Iterable)
        and not issubclass(kind, Mapping)
    )


def _fits(value: object, annotation: Any) -> bool:
    """Whether a plain value, or what a mapping with `_target_` makes, may be given where the annotation stands."""
    kind, of = get_origin(annotation) or annotation, get_args(annotation)
    if kind in (Union, UnionType):
        return any(_fits(value, each) for each in of)
    if kind is Literal:
        return value in of
    if value is None or kind in (None, NoneType):
        return value is None and kind in (None, NoneType, Any, object)
    if not isinstance(kind, type) or kind is object or (isinstance(value, dict) and "_target_" in value):
        return kind not in (bool, int, float, str)
    if kind in (bool, int, float, str):
        return isinstance(value, (int, float) if kind is float else kind) and (
            kind is bool or not isinstance(value, bool)
        )
    if issubclass(kind, Mapping):
        return isinstance(value, dict)
    if _is_list(kind):
        if not isinstance(value, list):
            return False
        if kind is tuple and Ellipsis not in of and len(of) != len(value):
            return not of
        each = of if kind is tuple and Ellipsis not in of else of[:1] * len(value)
        return all(_fits(item, takes) for item, takes in zip(value, each, strict=False))
    return isinstance(value, str) and (kind in (collections.abc.Callable, Path) or issubclass(str, kind))
