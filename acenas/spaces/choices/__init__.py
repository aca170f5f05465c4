"""A space of one's own: a mapping of choices, from which all else follows."""

from acenas.spaces.choices.layout import Choice, Repeated
from acenas.spaces.choices.space import Choices

__all__ = ["Choice", "Choices", "Repeated"]
