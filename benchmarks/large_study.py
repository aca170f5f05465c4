"""Studies of large spaces and of many observations: seconds and memory.

Run from the repository: `python -m benchmarks.large_study listed|sampled|observed|front`. It prints JSON; seconds
are those of the clock and of the processor.
"""

import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from tempfile import TemporaryDirectory
from typing import Any

START = time.monotonic(), time.process_time()

import numpy as np  # noqa: E402 (imports count: a user waits for them)
import pandas as pd  # noqa: E402

from acenas.search import BudgetedSearch, Study  # noqa: E402
from acenas.spaces import Choices  # noqa: E402


def seconds(call: Callable[[], Any], start: tuple[float, float] | None = None) -> list[float]:
    before = start or (time.monotonic(), time.process_time())
    call()
    now = time.monotonic(), time.process_time()
    return [round(new - old, 2) for new, old in zip(now, before, strict=True)]


def asked_and_told(layers: int, folder: str, costs: Sequence[str] = ()) -> dict[str, Any]:
    """A study of a new space of 10 choices for each layer; five rounds. `costs` are of its front."""
    space = Choices({f"layer{i}": list(range(10)) for i in range(layers)})
    opened: list[Study] = []
    known: Any = []
    if costs:
        archs = space.enumerate()
        drawn = np.random.default_rng(0).random((len(archs), len(costs)))
        known = pd.DataFrame(drawn, columns=list(costs)).assign(arch=archs)

    def first() -> None:
        opened.append(Study(space, 50, folder, weak_labels=known, front=costs))
        opened[0].ask()

    found: dict[str, Any] = {"architectures": space.size, "open and ask": seconds(first, START), "ask": []}
    (study,) = opened
    for _ in range(5):
        for trial in study.pending:
            study.tell(trial, 50 + sum(trial.choices.values()))
        found["ask"].append(seconds(study.ask))
    return found | {"asked": len(study.observations) + len(study.pending)}


def many_observations(folder: str) -> dict[str, Any]:
    """A study of 100,000 architectures that was told 10,000 trainings."""
    generator = np.random.default_rng(0)
    space = Choices({f"layer{i}": list(range(10)) for i in range(5)})
    archs = space.enumerate()
    worth = generator.normal(size=(5, 10))
    values = 70 + np.array(
        [sum(worth[i, choice] for i, choice in enumerate(space.choices(arch).values())) for arch in archs]
    )
    search = BudgetedSearch(budget=11_000)
    study = Study(space, folder=folder, search=search, archs=archs, pretrained=False)
    some = generator.permutation(len(archs))[:10_000]
    observed = values[some] + generator.normal(0, 0.3, len(some))
    told = pd.DataFrame({"arch": [archs[i] for i in some], "round": 1, "reason": "random", "repeat": 0})
    study.state.trials = told.assign(state="trained", observed_accuracy=observed, seconds=1.0, message="")
    study.state.write()
    calls: dict[str, Callable[[], Any]] = {
        "ask": study.ask,
        "returned": lambda: study.returned,
        "close": study.close,
    }
    found: dict[str, Any] = {name: seconds(call) for name, call in calls.items()}
    top = values[np.argsort(-study.state.last_scores)[:10]].mean()
    returned = study.returned
    assert returned is not None
    return found | {
        "learned": float((top - values.mean()) / (values.max() - values.mean())),
        "same": returned.arch == study.observations["returned"].iloc[-1],
    }


def main(case: str) -> None:
    with TemporaryDirectory() as folder:
        if case == "observed":
            found = many_observations(folder)
        else:
            layers, costs = {"listed": (5, ""), "sampled": (12, ""), "front": (5, "abc")}[case]
            found = asked_and_told(layers, folder, list(costs))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(found | {"gb": round(peak / 1e6, 2)}))


if __name__ == "__main__":
    main(sys.argv[1])
