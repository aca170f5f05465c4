"""What the commands of `acenas.tables` share: the console, a progress bar, columns and spaces named by the user."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, ProgressColumn

from acenas.errors import UserError

UNCHECKED = "acenas has no space {}: the grammar of architectures was not checked"


def open_console(stderr: bool = False) -> Console:
    """Returns a console of at least 160 columns where the output is a file or a pipe."""
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, 160)
    return console


def say(console: Console, what: str, text: str, colour: str = "bold green") -> None:
    """Prints `what` in colour, and `text` as it is."""
    console.print(f"[{colour}]{what}:[/] {escape(text)}", soft_wrap=True)


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
    # Spaces import torch, which `list` and `info` do without.
    from acenas import spaces
    from acenas.spaces.nds.cells import FAMILIES, parse

    for value in vars(spaces).values():
        if isinstance(value, type) and getattr(value, "name", None) == name:
            return value()
    if not name.startswith("nds_") or (family := FAMILIES.get(name.removeprefix("nds_"))) is None:
        return None
    # For any width and depth, which differ between the data sets of NDS.
    return SimpleNamespace(
        name=name, parse=lambda arch: str(parse(family, arch)), validate=lambda arch: parse(family, arch)
    )
