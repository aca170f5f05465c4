"""Find the best architectures of a search space with as few trained networks as possible (arXiv 2108.03001).

    study = acenas.search(space, train, budget=50, folder="lab")
    run = acenas.search("nb201", table="nb201_digits", budget=30)
    run.returned, run.test_accuracy, run.ranking(), run.plot(), run.draw()

Each name is imported when it is first used:

    Study             asks what to train next and is told what the trainings showed; its state is a folder
    search            the loop around it for a function, a table or an evaluator; or the search of a benchmark
    SearchRun         a finished run: what was returned, its accuracy, the ranking, pictures
    Objective         what training shows: name, unit, direction

    SearchSpace       what can be built: the base of all spaces
    NasBench101       cells of up to 7 operations (NAS-Bench-101)
    NasBench201       cells of 6 edges (NAS-Bench-201)
    NDS               cells of DARTS, NASNet, AmoebaNet, PNAS and ENAS (NDS)
    MobileNet         chains of inverted bottlenecks
    Choices           a space of one's own: a mapping of choices
    Choice            values that exist under a condition
    Repeated          a block that stands several times
    Graphs            a space of one's own: networks that are graphs of operations
    LabelledGraphs    graphs whose operations have no names

    BenchmarkTable    accuracies that were measured, in a Parquet file
    WeakLabels        cheap scores of architectures
    Observations      what training architectures showed
    Evaluator         tells observed accuracies, for a search
    Judge             tells test accuracies, for a report

    Ranker            scores architectures: the base of all rankers
    GraphRanker       a graph network, pretrained on weak labels and finetuned by learning to rank
    LambdaRankLoss    what it is finetuned with
    ndcg_at_k         how well scores rank the top

    UserError         an error with a message that says what to do
"""

import os
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from acenas.lazy import lazy

if TYPE_CHECKING:
    from acenas.errors import UserError
    from acenas.evaluation import Evaluator, Judge, Observations
    from acenas.evaluation.objective import Objective
    from acenas.ranker import GraphRanker, Ranker
    from acenas.ranking import LambdaRankLoss, ndcg_at_k
    from acenas.run.api import search
    from acenas.run.result import SearchRun
    from acenas.run.study import Study
    from acenas.spaces import (
        NDS,
        Choice,
        Choices,
        Graphs,
        LabelledGraphs,
        MobileNet,
        NasBench101,
        NasBench201,
        Repeated,
        SearchSpace,
    )
    from acenas.tables import BenchmarkTable, WeakLabels

__version__ = "0.2.0"

# What some launcher has left behind; Lightning cannot be imported where one of these holds no number.
for _rank in ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK"):
    if not os.environ.get(_rank, "0").isdecimal():
        del os.environ[_rank]

__all__ = [
    "NDS",
    "BenchmarkTable",
    "Choice",
    "Choices",
    "Evaluator",
    "GraphRanker",
    "Graphs",
    "Judge",
    "LabelledGraphs",
    "LambdaRankLoss",
    "MobileNet",
    "NasBench101",
    "NasBench201",
    "Objective",
    "Observations",
    "Ranker",
    "Repeated",
    "SearchRun",
    "SearchSpace",
    "Study",
    "UserError",
    "WeakLabels",
    "ndcg_at_k",
    "search",
]

_load, __dir__ = lazy(
    __name__,
    {
        "Objective": "acenas.evaluation.objective",
        "SearchRun": "acenas.run.result",
        "Study": "acenas.run.study",
        "UserError": "acenas.errors",
        **dict.fromkeys(("Evaluator", "Judge", "Observations"), "acenas.evaluation"),
        **dict.fromkeys(("GraphRanker", "Ranker"), "acenas.ranker"),
        **dict.fromkeys(("LambdaRankLoss", "ndcg_at_k"), "acenas.ranking"),
        **dict.fromkeys(
            (
                "NDS",
                "Choice",
                "Choices",
                "Graphs",
                "LabelledGraphs",
                "MobileNet",
                "NasBench101",
                "NasBench201",
                "Repeated",
                "SearchSpace",
            ),
            "acenas.spaces",
        ),
        **dict.fromkeys(("BenchmarkTable", "WeakLabels"), "acenas.tables"),
    },
)


def __getattr__(name: str) -> Any:
    return import_module("acenas.search") if name == "search" else _load(name)


class _CallableRoom(ModuleType):
    """The room `acenas.search`, which is also the function of that name."""

    def __call__(self, *args: Any, **kwargs: Any) -> "SearchRun | Study":
        from acenas.run.api import search

        return search(*args, **kwargs)  # type: ignore[no-any-return]


class _Package(ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        if name == "search":  # however it was imported
            value.__class__ = _CallableRoom
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
