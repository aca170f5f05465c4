"""The objects that a configuration names, made once for all stages of a run by `acenas.run.stages.setup`."""

from __future__ import annotations

from dataclasses import dataclass

from acenas.evaluation import Evaluator
from acenas.images import ImageTask
from acenas.ranker import Ranker
from acenas.search import Search
from acenas.search.costs import Costs
from acenas.spaces import SearchSpace
from acenas.tables import BenchmarkTable, WeakLabels


@dataclass(frozen=True)
class Parts:
    """What the stages of a run work with.

    Attributes:
        space: The search space.
        task: The images that networks are trained on; None for none.
        table: The benchmark table, for weak labels and costs; None where there is none or no search.
        labels: The weak labels to pretrain on that the run's super-net does not make, by name.
        search: The rounds; None for no search, as the ranker and the evaluator.
        ranker: Scores architectures.
        evaluator: The only way to an observed accuracy.
        costs: The constraints and the front of the search.
    """

    space: SearchSpace
    task: ImageTask | None
    table: BenchmarkTable | None
    labels: dict[str, WeakLabels]
    search: Search | None
    ranker: Ranker | None
    evaluator: Evaluator | None
    costs: Costs
