"""A search small enough to work out by hand, shared by the tests of this room."""

import math

import pandas as pd

from acenas.report.summary import FinishedSearch

ARCHS = ["a", "b", "c", "d", "e", "<f>"]
OBSERVED = [50.0, 60.0, 70.0, 80.0, 90.0, 85.0]
TEST = [51.0, 59.0, 71.0, 83.0, 88.0, 86.0]


def finished_search(**changes: object) -> FinishedSearch:
    """Trained in two rounds: c, a, then <f>, d; the best known, e, is missed."""
    observations = pd.DataFrame(
        {
            "arch": ["c", "a", "<f>", "d"],
            "round": [1, 1, 2, 2],
            "reason": ["random", "random", "best predicted", "random"],
            "observed_accuracy": [70.0, 50.0, 85.0, 80.0],
            "seconds": [1.0, 1.0, 1.0, 1.0],
            "returned": ["c", "c", "<f>", "<f>"],
        }
    )
    scores = pd.DataFrame(
        {
            "arch": ARCHS,
            "pretrained": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5],
            "round_1": [0.5, 0.4, 0.3, 0.2, 0.1, 0.0],
            "round_2": [0.0, 0.1, 0.2, 0.3, 0.5, 0.4],
        }
    )
    values = {
        "experiment": "debug",
        "seed": 3,
        "table": "nb201",
        "dataset": "cifar10",
        "observations": observations,
        "scores": scores,
        "observed": pd.Series(OBSERVED, index=ARCHS),
        "test": pd.Series([*TEST[:1], math.nan, *TEST[2:]], index=ARCHS),
        "seconds": {"pretrain": 2.0, "search": 3.5},
        "versions": {"acenas": "0.1.0"},
    }
    return FinishedSearch(**{**values, **changes})  # type: ignore[arg-type]
