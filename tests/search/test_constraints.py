import numpy as np

from acenas.evaluation.costs import CostModel
from acenas.search.constraints import Limits


class Lookup(CostModel):
    def __init__(self, name: str, known: dict[str, float]) -> None:
        self.name, self.known, self.origin = name, known, "made up"

    def values(self, archs: object) -> np.ndarray:
        return np.array([self.known[arch] for arch in archs])  # type: ignore[attr-defined]


def test_limits_must_all_be_kept_and_an_unknown_cost_keeps_none() -> None:
    limits = Limits(
        {"params_m": 2.0, "latency_ms.x": 10.0},
        [
            Lookup("params_m", {"a": 2.0, "b": 2.1, "c": 1.0, "d": 1.0}),
            Lookup("latency_ms.x", {"a": 10.0, "b": 1.0, "c": 11.0, "d": np.nan}),
        ],
    )
    assert limits.within(list("abcd")).tolist() == [True, False, False, False]
    assert limits.costs(["c"]).loc["c"].to_dict() == {"params_m": 1.0, "latency_ms.x": 11.0}
    message = str(limits.nothing_left(list("bc")))
    assert (
        "params_m <= 2 and latency_ms.x <= 10" in message and "the least of each is params_m 1, " in message
    )
