"""The study that asks and is told, its rounds and acquisition. As a function, `acenas.search` is `acenas.run.api`'s."""

from typing import TYPE_CHECKING

from acenas.lazy import lazy

if TYPE_CHECKING:
    from acenas.search.acquisition import Acquisition, BestAndRandom
    from acenas.search.answers import Trial
    from acenas.search.candidates import Candidates
    from acenas.search.evolution import NSGA2, RegularisedEvolution
    from acenas.search.extrapolation import Extrapolation, Regressions
    from acenas.search.fronts import AcrossCosts, HypervolumeGain, PredictedFront
    from acenas.search.loop import SearchResult, run_study
    from acenas.search.rounds import BudgetedSearch, Search
    from acenas.search.state import StudyState
    from acenas.search.stopping import Belief, Halving, InFull, Stopping
    from acenas.search.study import Returned, Study

__all__ = [
    "NSGA2",
    "Acquisition",
    "AcrossCosts",
    "Belief",
    "BestAndRandom",
    "BudgetedSearch",
    "Candidates",
    "Extrapolation",
    "Halving",
    "HypervolumeGain",
    "InFull",
    "PredictedFront",
    "Regressions",
    "RegularisedEvolution",
    "Returned",
    "Search",
    "SearchResult",
    "Stopping",
    "Study",
    "StudyState",
    "Trial",
    "run_study",
]

# When they are first used: the command checks a budget (`acenas.search.budget`) before it imports anything heavy.
__getattr__, __dir__ = lazy(
    __name__,
    {
        "Acquisition": "acenas.search.acquisition",
        "BestAndRandom": "acenas.search.acquisition",
        "Candidates": "acenas.search.candidates",
        **dict.fromkeys(("AcrossCosts", "HypervolumeGain", "PredictedFront"), "acenas.search.fronts"),
        **dict.fromkeys(("NSGA2", "RegularisedEvolution"), "acenas.search.evolution"),
        **dict.fromkeys(("SearchResult", "run_study"), "acenas.search.loop"),
        **dict.fromkeys(("BudgetedSearch", "Search"), "acenas.search.rounds"),
        **dict.fromkeys(("Extrapolation", "Regressions"), "acenas.search.extrapolation"),
        **dict.fromkeys(("Belief", "Halving", "InFull", "Stopping"), "acenas.search.stopping"),
        "StudyState": "acenas.search.state",
        **dict.fromkeys(("Returned", "Study"), "acenas.search.study"),
        "Trial": "acenas.search.answers",
    },
)
