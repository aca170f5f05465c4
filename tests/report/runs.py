"""Run folders as a search leaves them, small and quick to make."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import yaml

from acenas.report import runs
from acenas.run.folder import finish

CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|none~0|none~1|nor_conv_3x3~2|"


LOSS = {"name": "val_loss", "unit": "nats", "direction": "min"}


def finished_run(
    root: Path,
    number: int,
    overrides: Sequence[str] = (),
    returned: str = CELL,
    objective: Mapping[str, str] | None = None,
    judged: bool = True,
    scored: bool = False,
    **config: object,
) -> Path:
    """A finished run of one round per training, whose values grow with its number: accuracies, or what is given."""
    folder = root / f"{number:010x}"
    (folder / ".hydra").mkdir(parents=True)
    (folder / runs.LOCK).touch()
    seed = config.setdefault("seed", number)
    content = {
        "experiment": "demo",
        "ranker": {"_target_": "acenas.ranker.GraphRanker", "seed": seed},
        "space": {"_target_": "acenas.spaces.NasBench201"},
        "table": {"path": "nowhere.parquet"},
        **config,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump([*overrides, f"seed={seed}"]))
    (folder / "report.html").write_text("<p>report</p>")
    accuracies = [90.0 + number % 7, 91.0 + number % 7]
    name = objective["name"] if objective else "accuracy"
    shown = f"{'test' if judged else 'observed'}_{name}"
    summary = {
        "experiment": "demo",
        **({"objective": objective} if objective else {}),
        "seed": seed,
        "space": "nasbench201",
        "table": "nb201",
        "dataset": "cifar10",
        "trained": 20,
        "returned": {
            "arch": returned,
            f"test_{name}": None,
            f"observed_{name}": 90.0,
            shown: accuracies[-1],
            "costs": {"params_m": 1.0 + seed, "latency_ms.pixel3": 2.5},  # type: ignore[operator]
        },
        "best_known": {"arch": "b", f"test_{name}": 99.0} if judged else None,
        "curve": [
            {"trained": 10, f"returned_{shown}": accuracies[0], "ndcg@10": None},
            {"trained": 20, f"returned_{shown}": accuracies[1], "ndcg@10": 0.5 + number % 3 / 10},
        ],
        "cpu_seconds": {"total": 3.0},
    }
    if scored:
        archs = [returned, *map("arch {}".format, range(19))]
        observations = pd.DataFrame({"arch": archs, "round": [1] * 10 + [2] * 10, "state": "trained"})
        observations["returned"], observations[f"observed_{name}"] = returned, range(20, 0, -1)
        observations.to_parquet(folder / "observations.parquet")
        fits = {f"round_{number}": [1.0 * i for i in range(20)] for number in (1, 2)}
        pd.DataFrame({"arch": archs, **fits}).to_parquet(folder / "scores.parquet")
    finish(folder, json.loads(json.dumps(summary)))
    return folder
