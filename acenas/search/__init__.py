"""The budgeted rounds and their acquisition rules."""

from acenas.search.acquisition import Acquisition, BestAndRandom, RandomAmongBest
from acenas.search.rounds import BudgetedSearch, SearchResult

__all__ = ["Acquisition", "BestAndRandom", "BudgetedSearch", "RandomAmongBest", "SearchResult"]
