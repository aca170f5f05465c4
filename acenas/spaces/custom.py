"""What custom spaces share: functions given by name, and networks that a function builds."""

import inspect
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from torch import nn
from typing_extensions import override

from acenas.errors import UserError, reason_of
from acenas.spaces.base import SearchSpace
from acenas.spaces.cost import Cost, count_cost
from acenas.trust import import_name

T = TypeVar("T")


class CustomSpace(SearchSpace):
    """A space whose networks a function builds.

    Args:
        name: in tables of this space.
        build: the function; None where no networks are built. Here and in `example_input`, a string is a dotted name.
        example_input: see `count_cost`.
    """

    def __init__(self, name: str, build: Callable[..., nn.Module] | str | None, example_input: Any) -> None:
        self.name = name
        self._build = named("space.build", build)
        self._example = self.example_input = named("space.example_input", example_input)

    @abstractmethod
    def _arguments(self, arch: str) -> dict[str, Any]:
        """Returns the arguments of the function that builds networks."""

    def build(self, arch: str, num_classes: int | None = None) -> nn.Module:
        """Returns the network of `arch`.

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

    @override
    def check_images(self, num_classes: int, image_shape: tuple[int, int, int]) -> None:
        if self._build is not None and self._example is None:
            super().check_images(num_classes, image_shape)

    def costs(
        self,
        archs: Sequence[str],
        num_classes: int | None = None,
        image_shape: tuple[int, int, int] | None = None,
    ) -> list[Cost]:
        """Counts what the networks of `archs` cost for `example_input`, or without one for an image."""
        inputs = image_shape if self._example is None else self._example
        if inputs is None:
            raise UserError(
                f"the space {self.name} counts no costs: give it example_input=, what its networks read"
            )
        return [count_cost(self.build(arch, num_classes), inputs) for arch in archs]


def called(read: Callable[[str], T], text: str) -> T:
    """Returns what the user's function `read` makes of `text`. Raises `UserError` where it raises anything."""
    try:
        return read(text)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"read fails: {reason_of(error)}") from error


def named(key: str, given: Any) -> Any:
    """Returns what the dotted name `given` names; anything else as it is. Raises `UserError` with the option `key`."""
    if not isinstance(given, str):
        return given
    try:
        return import_name(given)
    except UserError as error:
        raise UserError(f"{key}={error}") from None
