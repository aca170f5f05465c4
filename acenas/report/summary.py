"""The results of a finished search: `summary.json`, the curve over rounds, and the best architectures.

Only reports use test accuracies; nothing here is reachable from a search.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch

from acenas.ranking.metrics import ranking_metrics


@dataclass(frozen=True)
class FinishedSearch:
    """The inputs of a report."""

    experiment: str
    seed: int
    table: str
    """The benchmark table, or what else said how accurate an architecture is."""
    dataset: str
    observations: pd.DataFrame
    """One row per trained architecture, in order of training, see `SearchResult`: `arch`, `round` (from 1), `reason`,
    `observed_accuracy` (percent), `seconds`, `returned`."""
    scores: pd.DataFrame
    """`arch`, and its score by each fit: `pretrained` where there was pretraining, then `round_1`, `round_2`, …, each
    fitted on all that were trained up to that round."""
    observed: "pd.Series[float]"
    """Known observed accuracies, percent, by architecture; those of `observations` at least."""
    test: "pd.Series[float]"
    """Test accuracies of the architectures, percent, as the judge of the run measured them; that of the returned one
    at least."""
    seconds: Mapping[str, float]
    """Seconds of each stage, and their `total` where it is more than the sum."""
    versions: Mapping[str, str]
    """Versions of the software that matters."""
    reference: "pd.Series[float] | None" = None
    """Test accuracies known of the space from elsewhere, percent, by architecture: what to compare with where the
    judge knows those that were trained alone."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """What the search was constrained to: the highest value of each cost, by its name."""
    costs: pd.DataFrame = field(default_factory=pd.DataFrame)
    """The costs in `limits` (columns) of every trained architecture (index)."""
    cost_origins: Mapping[str, str] = field(default_factory=dict)
    """For each cost in `limits` where its figures come from, and how good they are."""

    def __post_init__(self) -> None:
        missing = {f"round_{number}" for number in self.rounds} - set(self.scores.columns)
        if missing:
            raise ValueError(
                f"scores lack {', '.join(sorted(missing))}, though architectures were trained then"
            )
        if self.returned not in self.test.dropna().index:
            raise ValueError(f"the test accuracy of the returned architecture {self.returned} is not known")

    @property
    def rounds(self) -> list[int]:
        """The numbers of the rounds, in order."""
        return sorted(int(number) for number in self.observations["round"].unique())

    @property
    def returned(self) -> str:
        """What the search returns."""
        return str(self.observations["returned"].iloc[-1])

    @property
    def known_test(self) -> "pd.Series[float]":
        """The test accuracies that architectures are compared by: of one source, the reference where there is one."""
        return self.test if self.reference is None else self.reference

    @property
    def best_known(self) -> str:
        """The architecture with the best known test accuracy."""
        return str(self.known_test.idxmax())

    @property
    def regret(self) -> float:
        """Points of test accuracy from the returned architecture to the best known, both of one source if possible."""
        returned = self.known_test.get(self.returned, self.test[self.returned])
        return float(self.known_test.max() - returned)

    @cached_property
    def metrics(self) -> dict[str, dict[str, float]]:
        """`ranking_metrics` of each fit, by its column of `scores`, with test accuracies.

        They are NaN where only trained architectures are known: that would measure how well the ranker memorises.
        """
        archs = self.scores["arch"]
        observed = torch.tensor(self.observed.reindex(archs).to_numpy(dtype=np.float64))
        test = torch.tensor(self.known_test.reindex(archs).to_numpy(dtype=np.float64))
        nothing_else = self.observed.index.isin(self.observations["arch"]).all()
        fits = {}
        for fit, column in self.scores.drop(columns="arch").items():
            scores = torch.tensor(column.to_numpy(dtype=np.float64))
            scored = ~scores.isnan()  # what became a candidate later was not
            of_fit = ranking_metrics(scores[scored], observed[scored], test[scored])
            fits[str(fit)] = dict.fromkeys(of_fit, math.nan) if nothing_else else of_fit
        return fits


def pareto_front(search: FinishedSearch, only: str | None = None) -> pd.DataFrame:
    """Returns the Pareto front of observed accuracy and costs among the trained architectures; the cheapest first.

    An architecture is on the front where no other is at least as good in observed accuracy and in every limited cost,
    and better in one of them. Of equals, the first trained one is there. Columns: `arch`, `observed_accuracy` and
    `test_accuracy` (percent), then the costs. With `only`, that one is the only cost that counts.
    """
    names = list(search.costs.columns) if only is None else [only]
    rows = search.observations[["arch", "observed_accuracy"]].assign(
        test_accuracy=search.test.reindex(search.observations["arch"]).to_numpy()
    )
    rows = rows.join(search.costs, on="arch").dropna(subset=["observed_accuracy", *names])
    # Smaller is better in each column.
    values = rows[["observed_accuracy", *names]].to_numpy() * [-1, *[1] * len(names)]
    as_good = (values[:, None] <= values[None]).all(2)  # [i, j]: i is at least as good as j in all
    better = as_good & ((values[:, None] < values[None]).any(2) | np.triu(np.ones_like(as_good), 1))
    front = rows.iloc[np.flatnonzero(~better.any(0))]
    return front.sort_values(names, kind="stable").reset_index(drop=True)


def build_summary(search: FinishedSearch) -> dict[str, Any]:
    """Returns the content of `summary.json`; accuracies and regret in percent (points), `None` where unknown.

    `regret` is the test accuracy of the best known architecture minus that of the returned one.
    """
    returned, best = search.returned, search.best_known
    observed = search.observations.set_index("arch")["observed_accuracy"]
    rounds = [row for row in round_metrics(search) if "search/trained" in row]
    final = {
        name.removeprefix("search/"): value
        for name, value in rounds[-1].items()
        if name.removeprefix("search/") not in ("trained", "returned_test_accuracy")
    }
    summary = {
        "experiment": search.experiment,
        "seed": search.seed,
        "table": search.table,
        "dataset": search.dataset,
        "trained": len(search.observations),
        "returned": {
            "arch": returned,
            "observed_accuracy": float(observed[returned]),
            "test_accuracy": float(search.test[returned]),
        },
        "best_known": {"arch": best, "test_accuracy": float(search.known_test[best])},
        "regret": search.regret,
        "metrics": final,
        "curve": [
            {
                "trained": int(row["search/trained"]),
                "returned_test_accuracy": row["search/returned_test_accuracy"],
                "ndcg@10": row["search/ndcg@10"],
            }
            for row in rounds
        ],
        **({"constraints": _constraints(search)} if search.limits else {}),
        "seconds": {"total": sum(search.seconds.values())} | dict(search.seconds),
        "versions": dict(search.versions),
    }
    return {name: _without_nan(value) for name, value in summary.items()}


def _constraints(search: FinishedSearch) -> dict[str, Any]:
    """Limits, the costs of the returned architecture, where costs come from, and the front of accuracy and cost."""
    return {
        "limits": dict(search.limits),
        "returned": {name: float(column[search.returned]) for name, column in search.costs.items()},
        "origins": dict(search.cost_origins),
        "pareto_front": pareto_front(search).to_dict("records"),
    }


def round_metrics(search: FinishedSearch) -> list[dict[str, float]]:
    """Returns the metrics of each fit with test accuracies, which are not available during the search.

    They are named as they are logged.

    First that of pretraining, where there was one (`pretrain/…`), then that of each round (`search/…`, with
    `search/trained` for the step). Each holds `ndcg@{1,3,10,30}`, `kendall`, `spearman` and
    `top{1,3,10,30}_test_accuracy`; a round also `returned_test_accuracy`, of a search that ends there.
    """
    rows = []
    if "pretrained" in search.scores.columns:
        rows.append(
            {f"pretrain/{name}": value for name, value in _for_report(search.metrics["pretrained"]).items()}
        )
    for number in search.rounds:
        so_far = search.observations[search.observations["round"] <= number]
        row = {
            "trained": float(len(so_far)),
            "returned_test_accuracy": float(search.test.get(so_far["returned"].iloc[-1], math.nan)),
            **_for_report(search.metrics[f"round_{number}"]),
        }
        rows.append({f"search/{name}": value for name, value in row.items()})
    return rows


def best_architectures(search: FinishedSearch, count: int = 10) -> pd.DataFrame:
    """Returns the `count` trained architectures with the best observed accuracy, best first.

    Columns: `arch`, `observed_accuracy` and `test_accuracy` (percent), `predicted_rank` (1 is best, by the last fit),
    `round` and `reason`.
    """
    best = search.observations.sort_values("observed_accuracy", ascending=False, kind="stable").head(count)
    last_fit = search.scores.set_index("arch")[f"round_{search.rounds[-1]}"]
    rank = last_fit.rank(ascending=False, method="min")
    return pd.DataFrame(
        {
            "arch": best["arch"].to_list(),
            "observed_accuracy": best["observed_accuracy"].to_list(),
            "test_accuracy": search.test.reindex(best["arch"]).to_list(),
            "predicted_rank": rank.reindex(best["arch"]).astype("Int64").to_list(),
            "round": best["round"].to_list(),
            "reason": best["reason"].to_list(),
        }
    )


def cost_unit(name: str) -> str:
    """Returns the unit of a cost, given its name: `params_m`, `macs_m`, `flops_m` or `latency_ms.<device>`.

    >>> cost_unit("latency_ms.pixel3")
    'ms on pixel3'
    """
    units = {"params_m": "M parameters", "macs_m": "M multiply-adds", "flops_m": "M FLOPs"}
    return units.get(name, f"ms on {name.removeprefix('latency_ms.')}")


def _for_report(metrics: dict[str, float]) -> dict[str, float]:
    """Removes the observed top-k accuracies, which were logged during the search."""
    return {name: value for name, value in metrics.items() if not name.endswith("_observed_accuracy")}


def _without_nan(value: Any) -> Any:
    """Replaces NaN by `None`, since JSON has no NaN."""
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
