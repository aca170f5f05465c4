"""The results of a finished search: `summary.json`, the curve over rounds, and the best architectures.

Only reports use test accuracies; nothing here is reachable from a search.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from acenas.evaluation.objective import Objective
from acenas.ranking.fronts import Scale, non_dominated
from acenas.ranking.metrics import ranking_metrics
from acenas.report.epochs import epochs_summary, paid
from acenas.report.front import front_curve, front_metrics, front_of_known, front_summary
from acenas.search.events import failed_ones
from acenas.search.spending import Spending


@dataclass(frozen=True)
class FinishedSearch:
    """The inputs of a report. All values are of the objective, in its unit."""

    experiment: str
    seed: int
    table: str
    """The benchmark table, or what else said how good an architecture is."""
    dataset: str
    observations: pd.DataFrame
    """One row per training, in order, see `SearchResult`: `arch`, `round` (from 1), `reason`, `state`, the column of
    the objective (NaN where the training failed or was stopped), `seconds`, `message` of a failure, `returned`, and
    where they are counted its `epochs`."""
    scores: pd.DataFrame
    """`arch`, and its score by each fit: `pretrained` where there was pretraining, then `round_1`, `round_2`, …, each
    fitted on all that were trained up to that round."""
    observed: "pd.Series[float]"
    """Known observed values, by architecture; those of `observations` at least."""
    test: "pd.Series[float] | None"
    """Test values of the architectures, as the judge of the run measured them; that of the returned one at least.
    None where nobody knows a test value: then observed ones are shown."""
    seconds: Mapping[str, float]
    """Seconds of each stage, and their `total` where it is more than the sum."""
    versions: Mapping[str, str]
    """Versions of the software that matters."""
    reference: "pd.Series[float] | None" = None
    """Test values known of the space from elsewhere, by architecture: what to compare with where the judge knows only
    those that were trained."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """What the search was constrained to: the highest value of each cost, by its name."""
    costs: pd.DataFrame = field(default_factory=pd.DataFrame)
    """The costs in `limits` and `front` (columns) of every training and of what was given (index: the architecture)."""
    cost_origins: Mapping[str, str] = field(default_factory=dict)
    """For each of these costs where its figures come from, and how good they are."""
    objective: Objective = Objective()  # noqa: RUF009 (frozen)
    """What trainings show: name, unit and direction."""
    given: pd.DataFrame = field(default_factory=pd.DataFrame)
    """What was trained elsewhere and learned from, no part of the budget; a front starts from it: `arch` and the column
    of the objective."""
    front: Mapping[str, str] = field(default_factory=dict)
    """The costs that the search looked for the best values for, with `min` or `max`; see `acenas.report.front`."""
    fronts: pd.DataFrame = field(default_factory=pd.DataFrame)
    """The fronts that a search returns which ends after so many trainings: `trained` and `arch`, a row for a member."""
    predicted: pd.DataFrame = field(default_factory=pd.DataFrame)
    """What training each architecture would show, see `acenas.search.Study.predictions`; no rows where nothing predicts
    it."""
    known_costs: pd.DataFrame = field(default_factory=pd.DataFrame)
    """The costs in `front` (columns) of all architectures (index) for which they are known without a training."""
    spending: Spending | None = None
    """What its epochs were spent on; None where nobody counts them."""

    def __post_init__(self) -> None:
        worked = self.observations[self.observations[self.objective.column].notna()]
        missing = {f"round_{number}" for number in worked["round"]} - set(self.scores.columns)
        if missing:
            raise ValueError(
                f"scores lack {', '.join(sorted(missing))}, though architectures were trained then"
            )
        if self.returned not in self.values.dropna().index:
            raise ValueError(
                f"the {self.kind} {self.objective.name} of the returned architecture {self.returned} is not known"
            )

    @property
    def kind(self) -> str:
        """`test` where test values are known, else `observed`: what is shown of architectures."""
        return "observed" if self.test is None else "test"

    @property
    def values(self) -> "pd.Series[float]":
        """Test values where they are known, else observed ones, by architecture."""
        return self.observed if self.test is None else self.test

    @property
    def in_epochs(self) -> bool:
        """Whether it had a budget of epochs: then curves are drawn against these."""
        return self.spending is not None and self.spending.budget is not None

    @property
    def test_column(self) -> str:
        """The name of test values in tables and summaries, as `objective.column` is that of observed ones."""
        return f"test_{self.objective.name}"

    @property
    def failed(self) -> pd.DataFrame:
        """The trainings that failed: rows of `observations`."""
        return self.observations[failed_ones(self.observations, self.objective)]

    @cached_property
    def trained(self) -> pd.DataFrame:
        """`observations`, a row for each architecture: its first training, with the mean of what all of them showed."""
        column = self.objective.column
        means = self.observations.groupby("arch")[column].mean()
        first = self.observations.drop_duplicates("arch")
        return first.assign(**{column: first["arch"].map(means)})

    @property
    def trained_or_given(self) -> list[str]:
        """The architectures that were trained, in order, then those that were given."""
        return [*self.trained["arch"], *self.given.get("arch", [])]

    @property
    def last_fit(self) -> "pd.Series[float]":
        """The scores of the last fit, by architecture."""
        return self.scores.set_index("arch").iloc[:, -1]

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
        """The values that architectures are compared by: of one source, the reference where there is one."""
        return self.values if self.reference is None else self.reference

    @property
    def best_known(self) -> str:
        """The architecture with the best known value."""
        return str((self.objective.sign * self.known_test).idxmax())

    @property
    def regret(self) -> float:
        """By how much the best known architecture is better than the returned one, both of one source if possible."""
        returned = self.known_test.get(self.returned, self.values[self.returned])
        return float(self.objective.sign * (self.known_test[self.best_known] - returned))

    @cached_property
    def front_of_known(self) -> tuple[pd.DataFrame, Scale]:
        """`acenas.report.front.front_of_known` of this search."""
        return front_of_known(self)

    @cached_property
    def front_curve(self) -> pd.DataFrame:
        """`acenas.report.front.front_curve` of this search."""
        return front_curve(self)

    @cached_property
    def metrics(self) -> dict[str, dict[str, float]]:
        """`objective_metrics` of each fit, by its column of `scores`, with test values.

        They are NaN where only trained architectures are known: that would measure how well the ranker memorises.
        """
        archs = self.scores["arch"]
        observed = self.observed.reindex(archs).to_numpy(dtype=np.float64)
        test = None if self.test is None else self.known_test.reindex(archs).to_numpy(dtype=np.float64)
        nothing_else = self.observed.index.isin(self.trained_or_given).all()
        return {
            str(fit): objective_metrics(
                self.objective,
                column.to_numpy(dtype=np.float64),
                np.full_like(observed, np.nan) if nothing_else else observed,
                test,
            )
            for fit, column in self.scores.drop(columns="arch").items()
        }


def objective_metrics(
    objective: Objective,
    scores: NDArray[np.floating],
    observed: NDArray[np.floating],
    test: NDArray[np.floating] | None = None,
) -> dict[str, float]:
    """Returns `ranking_metrics` for any objective: by its name, in its unit; NaN where nothing is known.

    Args:
        objective: says which values are better.
        scores: `[A]`; NaN for what became a candidate later.
        observed: `[A]`, NaN where unknown.
        test: `[A]`, NaN where unknown; None where nobody knows any.
    """
    scored = ~np.isnan(scores)
    known = not np.isnan(observed[scored]).all()

    def utilities(values: NDArray[np.floating]) -> torch.Tensor:
        return torch.from_numpy(objective.utility(values)[scored]) if known else torch.zeros(1)

    found = ranking_metrics(
        torch.from_numpy(scores[scored]) if known else torch.zeros(1),
        utilities(observed),
        None if test is None else utilities(test),
    )
    in_unit = {
        name.replace("accuracy", objective.name): objective.sign * value
        if name.endswith("accuracy")
        else value
        for name, value in found.items()
    }
    return in_unit if known else dict.fromkeys(in_unit, math.nan)


def pareto_front(search: FinishedSearch, only: str | None = None) -> pd.DataFrame:
    """Returns the Pareto front of the observed objective and costs among the trained architectures; the cheapest first.

    An architecture is on the front where no other is at least as good in the objective and in every limited cost, and
    better in one of them. Of equals, the first trained one is there. Columns: `arch`, `observed_<objective>` and,
    where it is known, `test_<objective>`, then the costs. With `only`, that one is the only cost that counts.
    """
    names = list(search.limits) if only is None else [only]
    column = search.objective.column
    rows = search.trained[["arch", column]]
    if search.test is not None:
        rows = rows.assign(**{search.test_column: search.test.reindex(rows["arch"]).to_numpy()})
    rows = rows.join(search.costs, on="arch").dropna(subset=[column, *names])
    # Smaller is better in each column.
    values = rows[[column, *names]].to_numpy() * [-search.objective.sign, *[1] * len(names)]
    return rows[non_dominated(values)].sort_values(names, kind="stable").reset_index(drop=True)


def build_summary(search: FinishedSearch) -> dict[str, Any]:
    """Returns the content of `summary.json`; values in the unit of the objective, `None` where unknown.

    Of a search with a front it has what `acenas.report.front.front_summary` returns, and each point of the curve what
    `front_metrics` says of the front then.

    Keys that hold values carry the objective's name, as in `observed_accuracy`. `regret` says by how much the best
    known architecture is better than the returned one, by test values; it is `None` where nobody knows these.
    """
    returned, test = search.returned, search.test
    observed = search.trained.set_index("arch")[search.objective.column]
    again = len(search.observations) - len(search.trained)
    rounds = [row for row in round_metrics(search) if "search/trained" in row]
    fronts = {row["front/trained"]: row for row in front_metrics(search)} if search.front else {}
    value_of_returned = f"returned_{search.kind}_{search.objective.name}"
    final = {
        name.removeprefix("search/"): value
        for name, value in rounds[-1].items()
        if name.removeprefix("search/") not in ("trained", "epochs", value_of_returned)
    }
    best = None
    if test is not None:
        best = {"arch": search.best_known, search.test_column: float(search.known_test[search.best_known])}
    summary = {
        "experiment": search.experiment,
        "seed": search.seed,
        "table": search.table,
        "dataset": search.dataset,
        "objective": asdict(search.objective),
        "trained": len(search.observations),
        "failed": len(search.failed),
        **({"repeated": again} if again else {}),
        **epochs_summary(search),
        "given": len(search.given),
        **({} if search.given.empty else {"best_given": _best_given(search)}),
        "returned": {
            "arch": returned,
            search.objective.column: float(observed[returned]),
            search.test_column: None if test is None else float(test[returned]),
        },
        "best_known": best,
        "regret": None if test is None else search.regret,
        "metrics": final,
        "curve": [
            {
                "trained": int(row["search/trained"]),
                value_of_returned: row[f"search/{value_of_returned}"],
                "ndcg@10": row["search/ndcg@10"],
                **({"epochs": row["search/epochs"]} if "search/epochs" in row else {}),
                **{
                    name.removeprefix("front/"): value
                    for name, value in fronts.get(row["search/trained"], {}).items()
                    if name != "front/trained"
                },
            }
            for row in rounds
        ],
        **({"front": front_summary(search)} if search.front else {}),
        **({"constraints": _constraints(search)} if search.limits else {}),
        "seconds": {"total": sum(search.seconds.values())} | dict(search.seconds),
        "versions": dict(search.versions),
    }
    return {name: _without_nan(value) for name, value in summary.items()}


def _best_given(search: FinishedSearch) -> dict[str, Any]:
    values = search.given.set_index("arch")[search.objective.column]
    best = str((search.objective.sign * values).idxmax())
    return {"arch": best, search.objective.column: float(values[best])}


def _constraints(search: FinishedSearch) -> dict[str, Any]:
    """Limits, the costs of the returned architecture, where costs come from, and the front of objective and cost."""
    return {
        "limits": dict(search.limits),
        "returned": {name: float(search.costs[name][search.returned]) for name in search.limits},
        "origins": dict(search.cost_origins),
        **({} if search.front else {"pareto_front": pareto_front(search).to_dict("records")}),
    }


def round_metrics(search: FinishedSearch) -> list[dict[str, float]]:
    """Returns the metrics of each fit with test values, which are not available during the search.

    They are named as they are logged.

    First that of pretraining, where there was one (`pretrain/…`), then that of each round (`search/…`, with
    `search/trained` for the step). Each holds `ndcg@{1,3,10,30}`, `kendall`, `spearman` and
    `top{1,3,10,30}_test_<objective>`; a round also `returned_test_<objective>` (`returned_observed_<objective>` where
    nobody knows test values), of a search that ends there, and where they are counted the `epochs` of all trainings.
    """
    rows = []
    epochs = paid(search.observations)
    unknown = objective_metrics(search.objective, np.zeros(1), np.full(1, np.nan), np.zeros(1))
    if "pretrained" in search.scores.columns:
        rows.append(
            {
                f"pretrain/{name}": value
                for name, value in _for_report(search, search.metrics["pretrained"]).items()
            }
        )
    for number in search.rounds:
        so_far = search.observations[search.observations["round"] <= number]
        row = {
            "trained": float(len(so_far)),
            f"returned_{search.kind}_{search.objective.name}": float(
                search.values.get(so_far["returned"].iloc[-1], math.nan)
            ),
            **_for_report(search, search.metrics.get(f"round_{number}", unknown)),
            **({} if epochs is None else {"epochs": float(epochs[len(so_far) - 1])}),
        }
        rows.append({f"search/{name}": value for name, value in row.items()})
    return rows


def best_architectures(search: FinishedSearch, count: int = 10) -> pd.DataFrame:
    """Returns the `count` trained architectures with the best observed objective, best first; none that failed.

    Columns: `arch`, `observed_<objective>` and, where it is known, `test_<objective>`, `predicted_rank` (1 is best, by
    the last fit), `round` and `reason`.
    """
    column = search.objective.column
    worked = search.trained.dropna(subset=[column])
    best = worked.sort_values(column, ascending=search.objective.sign < 0, kind="stable").head(count)
    rank = search.last_fit.rank(ascending=False, method="min")
    return pd.DataFrame(
        {
            "arch": best["arch"].to_list(),
            column: best[column].to_list(),
            **(
                {}
                if search.test is None
                else {search.test_column: search.test.reindex(best["arch"]).to_list()}
            ),
            "predicted_rank": rank.reindex(best["arch"]).astype("Int64").to_list(),
            "round": best["round"].to_list(),
            "reason": best["reason"].to_list(),
        }
    )


def cost_unit(name: str) -> str:
    """Returns the unit of a cost as its name says it, as in `params_m` or `latency_ms.<device>`, else the name.

    >>> cost_unit("latency_ms.pixel3"), cost_unit("energy")
    ('ms on pixel3', 'energy')
    """
    units = {"params_m": "M parameters", "macs_m": "M multiply-adds", "flops_m": "M FLOPs"}
    device = name.removeprefix("latency_ms.")
    return units.get(name, name if device == name else f"ms on {device}")


def _for_report(search: FinishedSearch, metrics: dict[str, float]) -> dict[str, float]:
    """Removes the observed top-k values, which were logged during the search, and test values that nobody knows."""
    logged = (search.objective.column, *([search.test_column] if search.test is None else []))
    return {
        name: value
        for name, value in metrics.items()
        if not name.endswith(tuple(f"_{one}" for one in logged))
    }


def _without_nan(value: Any) -> Any:
    """Replaces NaN by `None`, since JSON has no NaN."""
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
