"""A study of thousands of observations asks and returns within a minute and 2 GB."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, resource, sys, time
from pathlib import Path
import numpy as np, pandas as pd, torch
from acenas.ranker import GraphRanker
from acenas.search import BudgetedSearch, Study
from acenas.spaces import Choices

generator = np.random.default_rng(0)
space = Choices({f"layer{i}": list(range(10)) for i in range(5)})
archs = space.enumerate()
worth = generator.normal(size=(5, 10))
values = 70 + np.array([sum(worth[i, int(c)] for i, c in enumerate(space.choices(a).values())) for a in archs])
search = BudgetedSearch(budget=11_000)
study = Study(space, folder=sys.argv[1], search=search, archs=archs, pretrained=False)
some = generator.permutation(len(archs))[:10_000]
told = pd.DataFrame({"arch": [archs[i] for i in some], "round": 1, "reason": "random", "repeat": 0, "state": "trained",
    "observed_accuracy": values[some] + generator.normal(0, 0.3, len(some)), "seconds": 1.0, "message": ""})
study.state.trials = told
study.state.write()
seconds = {}
for name, call in {"ask": study.ask, "returned": lambda: study.returned, "close": study.close}.items():
    start = time.monotonic()
    call()
    seconds[name] = time.monotonic() - start
known = study.state.last_scores
print(json.dumps({
    "seconds": seconds,
    "gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    "top": float(values[np.argsort(-known)[:10]].mean()), "mean": float(values.mean()), "best": float(values.max()),
    "same": study.returned.arch == study.observations["returned"].iloc[-1],
}))
"""


@pytest.mark.slow
def test_ten_thousand_observations(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=True
    )
    found = json.loads(ran.stdout)
    assert found["seconds"]["ask"] < 60 and found["seconds"]["returned"] < 30
    assert found["seconds"]["close"] < 120 and found["gb"] < 2
    assert found["top"] > found["mean"] + 0.8 * (found["best"] - found["mean"]), "it has learned"
    assert found["same"]
