"""A finished search as an object: what was returned, its ranking, pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from omegaconf import DictConfig

from acenas.errors import UserError
from acenas.evaluation.objective import Objective
from acenas.files import number, read_frame
from acenas.markup import html_code, html_table
from acenas.report import runs
from acenas.report.identity import identity_of
from acenas.report.runs import finished, headline
from acenas.run.config import config_in, instantiate
from acenas.trust import build_kind

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from acenas.spaces import SearchSpace


@dataclass(frozen=True)
class SearchRun:
    """A finished run of a search.

    Attributes:
        folder: Of the run, with `report.html`, `summary.json`, `config.yaml` and all else that it left behind.
        of: The space of a study; None for that of the configuration.
        so_far: The summary of a study that is not done; None for that of the folder.
        trust: Modules that its configuration may name, beside this package: a stranger's runs none of its code.
        asked: The configuration that the user has asked for, which may name anything; None for that of the folder.
    """

    folder: Path
    of: SearchSpace | None = None
    so_far: dict[str, Any] | None = field(default=None, compare=False, repr=False)
    trust: Sequence[str] = ()
    asked: DictConfig | None = field(default=None, compare=False, repr=False)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The content of `summary.json`; accuracies in percent.

        Raises:
            UserError: Where there is no finished search in the folder.
        """
        summary = self.so_far or finished(self.folder)
        if summary is None or "returned" not in summary:
            raise UserError(f"there is no finished search in {self.folder}")
        return summary

    @cached_property
    def config(self) -> DictConfig:
        """The resolved configuration."""
        return config_in(self.folder)

    @cached_property
    def space(self) -> SearchSpace:
        """The search space."""
        if self.of is not None:
            return self.of
        if self.asked is not None:
            return cast("SearchSpace", instantiate(self.asked.space))
        from acenas.spaces import SearchSpace  # takes seconds

        return build_kind(SearchSpace, runs.config_of(self.folder).get("space"), self.trust)  # type: ignore[type-abstract]

    @cached_property
    def objective(self) -> Objective:
        """What the trainings showed: name, unit and direction."""
        return Objective.of(self.summary.get("objective", "accuracy"))

    @property
    def returned(self) -> str:
        """The architecture that the search returned."""
        return str(self.summary["returned"]["arch"])

    @property
    def observed_value(self) -> float:
        """What training the returned architecture showed, in the unit of the objective."""
        return float(self.summary["returned"][self.objective.column])

    @property
    def test_value(self) -> float | None:
        """The test value of the returned architecture, which the search has never seen; None where nobody knows it."""
        found = self.summary["returned"].get(f"test_{self.objective.name}")
        return None if found is None else float(found)

    @property
    def observed_accuracy(self) -> float:
        """`observed_value` of a search for accuracy, percent."""
        return float(self.summary["returned"]["observed_accuracy"])

    @property
    def test_accuracy(self) -> float:
        """`test_value` of a search for accuracy, percent."""
        return float(self.summary["returned"]["test_accuracy"])

    @property
    def observations(self) -> pd.DataFrame:
        """Every training that ended, in order: `arch`, `round`, `reason`, the objective's column, `seconds`, ..."""
        file, columns = (
            self.folder / "observations.parquet",
            {"arch": "text", self.objective.column: "numbers"},
        )
        trials = read_frame(file, columns, "search again in another folder")
        return trials[trials["state"].isin(["trained", "failed", "stopped"])] if "state" in trials else trials

    def ranking(self) -> pd.DataFrame:
        """All architectures that were scored, the best by the last fit first.

        Returns:
            `arch`, `score` (only their order means anything), and the objective's column (`observed_accuracy` by
            default), NaN where it was not trained.
        """
        import pandas as pd

        scores = read_frame(
            self.folder / "scores.parquet", {"arch": "text"}, "search again in another folder"
        )
        column = self.objective.column
        observed = self.observations.groupby("arch")[column].mean()
        ranked = pd.DataFrame({"arch": scores["arch"], "score": scores.iloc[:, -1]})
        ranked[column] = ranked["arch"].map(observed)
        return ranked.sort_values("score", ascending=False, kind="stable", ignore_index=True)

    def plot(self) -> Figure:
        """What each training showed, the best so far, and how well each round ranked what is known of the space."""
        from acenas.report.figures import value_curve  # takes a second

        return value_curve(self.observations[self.objective.column], self.summary["curve"], self.objective)

    def draw(self, arch: str | None = None) -> Figure:
        """A picture of an architecture; by default of the returned one.

        Raises:
            UserError: Where `arch` is none of the space.
        """
        from matplotlib import pyplot  # noqa: F401 (notebooks show figures once this is imported)

        return self.space.draw(self.returned if arch is None else arch)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r})"

    def __str__(self) -> str:
        return headline(self.summary, identity_of(self.folder, self.summary).method)

    def _repr_html_(self) -> str:
        summary, metrics = self.summary, self.summary["metrics"]
        objective, best = self.objective, summary["best_known"]
        name, test = objective.name.replace("_", " "), self.test_value
        rows: dict[str, str] = {
            "returned": html_code(self.returned),
            f"observed {name}": objective.show(self.observed_value),
        }
        if test is not None and best is not None:
            rows |= {
                f"test {name}": f"{objective.show(test)} (never seen by the search)",
                "best known, test": objective.show(best[f"test_{objective.name}"]),
            }
        rows["architectures trained"] = str(summary["trained"])
        if metrics["ndcg@10"] is not None:
            rows["NDCG@10, Kendall"] = f"{number(metrics['ndcg@10'], 3)}, {number(metrics['kendall'], 3)}"
        rows["report"] = html_code(self.folder / "report.html")
        title = f"{summary['experiment']} on {summary['table']} {summary['dataset']}, seed {summary['seed']}"
        return html_table(title, rows)
