"""What the commands of `acenas.tables` share: the console, a progress bar, columns and spaces named by the user."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from rich.console import Console
from rich.progress import Progress, ProgressColumn

from acenas.errors import UserError


def open_console(stderr: bool = False) -> Console:
    """Returns a console of at least 160 columns where the output is a file or a pipe."""
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, 160)
    return console


@contextmanager
def progress_bar(
    description: str, *columns: ProgressColumn, total: int | None = None
) -> Iterator[Callable[..., None]]:
    """Shows a progress bar on a terminal. Yields a function to call with what is done, and the total if known."""
    standard = Progress.get_default_columns()
    with Progress(*standard, *columns, console=open_console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total)

        def update(done: int, total: int | None = None) -> None:
            bar.update(task, completed=done, total=total)

        yield update


def renamed_columns(columns: Sequence[str]) -> dict[str, str]:
    """Returns old and new names of columns, from arguments OLD=NEW."""
    names = {}
    for renamed in columns:
        old, equals, new = renamed.rpartition("=")
        if not (old and equals and new):
            raise UserError(f"--column {renamed}: expected OLD=NEW, as in --column val_acc=cifar10.valid.200")
        names[old] = new
    return names


def find_space(name: str) -> Any:
    """Returns the search space of that name, or None where acenas has none."""
    # Only where a user asks for the grammar to be checked: spaces import torch, which `list` and `info` do without.
    if name.startswith("nds_"):
        return _nds_grammar(name)
    from acenas import spaces

    by_name = {
        getattr(value, "name", None): value for value in vars(spaces).values() if isinstance(value, type)
    }
    return by_name[name]() if name in by_name else None


def _nds_grammar(name: str) -> Any:
    """Returns the grammar of an NDS space for any width and depth, which differ between its data sets."""
    from acenas.spaces.nds.cells import FAMILIES, parse

    if (family := FAMILIES.get(name.removeprefix("nds_"))) is None:
        return None
    return SimpleNamespace(name=name, validate=lambda arch: parse(family, arch))
