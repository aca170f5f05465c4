"""A small search to report on, shared by the tests of this room."""

import numpy as np
import pandas as pd

from acenas.search.events import RoundResult

ARCHS = [f"arch{i}" for i in range(8)]
KNOWN = np.array([60.0, 91.0, 70.0, 94.0, 85.0, 93.0, 80.0, 90.0])
SCORES = np.array([0.0, 0.6, 0.2, 0.7, 0.3, 0.9, 0.1, 0.5], dtype=np.float32)


def observations(rounds: int) -> pd.DataFrame:
    """Two architectures a round, as the table has them."""
    order = [2, 7, 1, 6, 5, 0]
    rows = [
        (ARCHS[i], place // 2 + 1, "random", KNOWN[i], 1.5) for place, i in enumerate(order[: 2 * rounds])
    ]
    return pd.DataFrame(rows, columns=["arch", "round", "reason", "observed_accuracy", "seconds"])


def round_result(round_: int, rounds: int = 3) -> RoundResult:
    return RoundResult(
        stage="search" if round_ > 0 else "pretrain",
        round=round_,
        rounds=rounds,
        trained=2 * round_,
        budget=2 * rounds,
        archs=ARCHS,
        scores=SCORES,
        observations=observations(round_),
    )
