"""The budgeted rounds and their acquisition rules. As a function, `acenas.search` is that of `acenas.run.api`."""

from typing import TYPE_CHECKING

from acenas.lazy import lazy

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

# When they are first used: the command checks a budget (`acenas.search.budget`) before it imports anything heavy.
__getattr__, __dir__ = lazy(
    __name__,
    {
        "Acquisition": "acenas.search.acquisition",
        "BestAndRandom": "acenas.search.acquisition",
        "Candidates": "acenas.search.candidates",
        "RegularisedEvolution": "acenas.search.evolution",
        **dict.fromkeys(("BudgetedSearch", "Search", "SearchResult", "SearchState"), "acenas.search.rounds"),
    },
)
