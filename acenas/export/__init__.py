"""A trained network for others to use: in formats that need no acenas, with a card that says what it is."""

from acenas.export.formats import Export
from acenas.export.origin import Origin

__all__ = ["Export", "Origin"]
