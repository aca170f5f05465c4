"""Code that a text names: in a configuration, which may be a stranger's, or on the command line.

Everything that imports what a text names does it by `import_name`. Within `trusting` that imports nothing of modules
that the user does not trust: opening a stranger's folder runs nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pkgutil import resolve_name
from typing import Any, TypeVar

from acenas.errors import UserError

HELP = "run code of this module where the folder names it: a space, images or a training of your own; once for each"
"""What `--trust MODULE` does, in every command that opens a run's folder."""

OWN = ("acenas.spaces", "acenas.images", "acenas.training")
"""Packages whose classes any configuration may name. To make one runs nothing: it reads what it is given."""

T = TypeVar("T")

_trusted: ContextVar[Sequence[str] | None] = ContextVar("_trusted", default=None)
"""Modules of others that are trusted now; None for any."""


@contextmanager
def trusting(modules: Sequence[str] | None) -> Iterator[None]:
    """In the block, texts may name classes of `OWN`, and what is defined in `modules` or below; None for anything."""
    token = _trusted.set(modules)
    try:
        yield
    finally:
        _trusted.reset(token)


def import_name(name: str) -> Any:
    """Imports what a dotted name stands for, as in `module.name` or `module:name`.

    Raises:
        UserError: where it is not there, or `trusting` does not allow it; then nothing of it is imported.

    >>> import_name("acenas.seeds.derive_seed")
    <function derive_seed at ...>
    >>> with trusting([]):
    ...     import_name("os.system")
    Traceback (most recent call last):
    acenas.errors.UserError: os.system is not run; trust its module if you know it (--trust os, in each command: ...)
    """
    modules = _trusted.get()
    module = name.partition(":")[0] if ":" in name else name.rpartition(".")[0]
    theirs = modules is None or _is_below(module, modules)
    try:
        found = resolve_name(name) if theirs or _is_below(module, ["acenas"]) else None
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{name} cannot be imported: {error}") from None
    if modules is None:
        return found
    # Modules hold what they have imported themselves, such as os.system.
    home = getattr(found, "__module__", None) or module
    own = isinstance(found, type) and _is_below(home, OWN)
    if not (own or (theirs and (not callable(found) or _is_below(home, modules)))):
        raise UserError(
            f"{name} is not run; trust its module if you know it (--trust {module}, in each command: a folder may come "
            "from anyone)"
        )
    return found


def build_kind(kind: type[T], config: Any, modules: Sequence[str] | None) -> T:
    """Returns what `build` does; raises `UserError` where that is not of this kind."""
    made = build(config, modules)
    if not isinstance(made, kind):
        raise UserError(f"the configuration describes no {kind.__name__}, but {made!r:.100}")
    return made


def build(config: Any, modules: Sequence[str] | None, **named: Any) -> Any:
    """Builds what a configuration describes by `_target_`, as Hydra does, within `trusting(modules)`.

    Supported are keyword arguments, targets within arguments, `_args_` and `_partial_`.

    Args:
        config: of plain values, as YAML has them.
        modules: see `trusting`.
        named: further arguments, in place of those of `config`.

    Raises:
        UserError: as `import_name`, and for arguments that do not fit.

    >>> choices = {"_target_": "acenas.spaces.Choices", "choices": {"width": [16, 32]}}
    >>> build(choices, []).size
    2
    >>> build(choices | {"build": "os.system"}, [])
    Traceback (most recent call last):
    acenas.errors.UserError: space.build=os.system is not run; trust its module if you know it (--trust os, ...)
    """
    if isinstance(config, list):
        return [build(item, modules) for item in config]
    if not isinstance(config, dict):
        return config
    values = {key: build(value, modules) for key, value in config.items()} | named
    if "_target_" not in values:
        return values
    target, arguments = str(values.pop("_target_")), values.pop("_args_", [])
    options = {name: values.pop(name, None) for name in ("_partial_", "_convert_", "_recursive_")}
    with trusting(modules):
        make = import_name(target)
        try:
            return partial(make, *arguments, **values) if options["_partial_"] else make(*arguments, **values)
        except UserError:
            raise
        except Exception as error:  # what a stranger gives it can fail in any way
            raise UserError(
                f"the configuration of {target} does not fit: {type(error).__name__}: {error}"
            ) from error


def _is_below(module: str, packages: Sequence[str]) -> bool:
    return any(f"{module}.".startswith(f"{package}.") for package in packages)
