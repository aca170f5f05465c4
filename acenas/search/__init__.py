"""The budgeted rounds and their acquisition rules."""

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
