"""What spaces of a user's own have in common: functions by their names, and networks that a function makes."""

from __future__ import annotations

import inspect
import pkgutil
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from acenas.errors import UserError
from acenas.spaces.base import SearchSpace
from acenas.spaces.cost import Cost, count_cost


class OwnSpace(SearchSpace):
    """A space whose networks are made by a function.

    Args:
        name: that tables of this space carry.
        build: the function, or its dotted name; None where no networks are made.
        example_input: see `count_cost`; a string is the dotted name of a function.
    """

    def __init__(self, name: str, build: Callable[..., nn.Module] | str | None, example_input: Any) -> None:
        self.name = name
        self._build = named("build", build)
        self.example_input = named("example_input", example_input)

    @abstractmethod
    def _arguments(self, arch: str) -> dict[str, Any]:
        """Returns what the function that makes networks is called with."""

    def build(self, arch: str, num_classes: int | None = None) -> nn.Module:
        """Returns the network that `build` makes of `arch`.

        Raises:
            UserError: where there is no `build`, or it takes other arguments.
        """
        if self._build is None:
            raise UserError(f"the space {self.name} builds no networks: give it build=, a function that does")
        arguments, signature = self._arguments(arch), inspect.signature(self._build)
        if "num_classes" in signature.parameters and num_classes is not None:
            arguments = {"num_classes": num_classes, **arguments}
        try:
            signature.bind(**arguments)
        except TypeError as error:
            called = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
            raise UserError(f"the space {self.name}: build({called}): {error}") from None
        return self._build(**arguments)  # type: ignore[no-any-return]

    def costs(
        self,
        archs: Sequence[str],
        num_classes: int | None = None,
        image_shape: tuple[int, int, int] | None = None,
    ) -> list[Cost]:
        """Counts what the networks of `archs` cost for the `example_input` of this space, or else for an image."""
        inputs = image_shape if self.example_input is None else self.example_input
        if inputs is None:
            raise UserError(
                f"the space {self.name} counts no costs: give it example_input=, what its networks read"
            )
        return [count_cost(self.build(arch, num_classes), inputs) for arch in archs]


def named(key: str, given: Any) -> Any:
    """Returns what the dotted name `given` stands for, and anything else as it is. Raises `UserError`."""
    if not isinstance(given, str):
        return given
    try:
        return pkgutil.resolve_name(given)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"space.{key}={given} cannot be imported: {error}") from None
