"""The study that asks and is told, its rounds, and the acquisition rules."""

from acenas.search.acquisition import Acquisition, BestAndRandom
from acenas.search.candidates import Candidates
from acenas.search.evolution import RegularisedEvolution
from acenas.search.loop import SearchResult, run_study
from acenas.search.rounds import BudgetedSearch, Search
from acenas.search.study import Returned, Study, StudyState, Trial

__all__ = [
    "Acquisition",
    "BestAndRandom",
    "BudgetedSearch",
    "Candidates",
    "RegularisedEvolution",
    "Returned",
    "Search",
    "SearchResult",
    "Study",
    "StudyState",
    "Trial",
    "run_study",
]
