"""Searches: rounds within a budget, acquisition, candidates, evolution, and what is returned."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acenas.search.acquisition import Acquisition, BestAndRandom
    from acenas.search.candidates import Candidates
    from acenas.search.evolution import RegularisedEvolution
    from acenas.search.rounds import BudgetedSearch, Search, SearchResult, SearchState

__all__ = [
    "Acquisition",
    "BestAndRandom",
    "BudgetedSearch",
    "Candidates",
    "RegularisedEvolution",
    "Search",
    "SearchResult",
    "SearchState",
]

_MODULES = {"Acquisition": "acquisition", "BestAndRandom": "acquisition", "Candidates": "candidates"}
_MODULES |= {"RegularisedEvolution": "evolution"}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used: a configuration is checked by `budget` before torch is loaded."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"acenas.search.{_MODULES.get(name, 'rounds')}"), name)
