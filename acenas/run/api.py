"""A search from Python: what the command does, and its result as an object."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

from omegaconf import DictConfig, OmegaConf

from acenas.errors import UserError
from acenas.evaluation.objective import Objective
from acenas.files import number, read_frame, write_text
from acenas.markup import html_code, html_table
from acenas.report import runs
from acenas.report.identity import identity_of
from acenas.report.runs import finished, headline
from acenas.run.command_line import as_meant, checked_config
from acenas.run.config import config_in, instantiate, other_run, run_folder
from acenas.run.folder import FolderInUseError, FolderRemovedError, clear, only_process, remove_if_unused
from acenas.trust import build_kind

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from acenas.run.stages.search import Trial
    from acenas.run.study import Study, Trainer
    from acenas.spaces import SearchSpace


@overload
def search(
    space: str = "nb201",
    *,
    table: str | None = None,
    budget: int | None = None,
    seed: int = 0,
    folder: str | Path = "outputs",
    overrides: Sequence[str] = (),
) -> SearchRun: ...


@overload
def search(
    space: SearchSpace,
    train: Trainer,
    budget: int | None = None,
    folder: str | Path = "lab",
    seed: int = 0,
    *,
    attempts: int = 1,
    stop_on_failure: bool = False,
    **study: Any,
) -> Study: ...


def search(
    space: Any = "nb201",
    train: Any = None,
    budget: int | None = None,
    folder: str | Path | None = None,
    seed: int = 0,
    *,
    table: str | None = None,
    overrides: Sequence[str] = (),
    **study: Any,
) -> SearchRun | Study:
    """Searches a space of one's own with any training, or a benchmark as the command does.

    A space object: asks a `Study` what to train, trains it, and tells. Interrupted or killed, the same call goes on
    where it was; a larger budget in the same folder raises it. Returns the `Study`.

    The name of a space: runs the search of `python -m acenas experiment=<space>_ltr`, goes on with it, or opens it
    where it is done. Configuration, run folder and result are those of the command. Returns the finished `SearchRun`.

    Args:
        space: an own one, or a name: `nb201`, `nb101`, `nds_darts`, `mobilenet`, ...
        train: of an own space: a function that is called with the choices of an architecture by name (with its string
            where it has a parameter `arch`, or the space has no choices) and returns the objective; what it raises, and
            NaN, are failed trainings. Or an `Evaluator`, a `BenchmarkTable`, or a frame with `arch` or the choices and
            the objective.
        budget: architectures to train, all of them; None for that of the study or the experiment.
        folder: of the study (`lab` by default), or where runs are kept (`output_root`): that of a run by name is
            `<folder>/<experiment>/<hash>`, in `outputs` by default.
        seed: drives every choice.
        table: of a space by name: the benchmark table that has the accuracies; None for the experiment's own.
        overrides: of a space by name: more of the configuration, as on the command line: `["loss=ranknet"]`.
        study: of an own space: all other arguments of `Study`; `attempts`, trainings of an architecture that fails,
            before it is given up; `stop_on_failure`, whether one failed training ends the search, rather than more than
            half of a round.

    Raises:
        UserError: where it cannot run, or too many trainings failed.
    """
    try:
        if isinstance(space, str):
            if unknown := [*study, *(["train"] if train is not None else [])]:
                raise UserError(f"search: {unknown[0]} is for a space of one's own, not for {space}")
            named = {"seed": seed, "table": table, "search.budget": budget}
            given = [f"{key}={value}" for key, value in named.items() if value is not None]
            return _as_the_command([f"experiment={space}_ltr", *given, *overrides], folder or "outputs")
        if table is not None or overrides:
            raise UserError("search: table and overrides are for the name of a space; give a table as train")
        from acenas.run.study import run_trainings  # takes seconds

        return run_trainings(space, train, folder or "lab", budget=budget, seed=seed, **study)
    except KeyboardInterrupt:
        print("Interrupted: the same call goes on where it was.")
        raise


def _as_the_command(given: Sequence[str], root: str | Path) -> SearchRun:
    given = as_meant(given)
    cfg = checked_config([*given, *as_meant([f"output_root={root}"])])
    place = run_folder(cfg)
    try:
        complete(cfg, place, given)
    except FolderInUseError:
        raise
    except UserError:
        remove_if_unused(place)
        raise
    return SearchRun(place, asked=cfg)


def complete(
    cfg: DictConfig,
    folder: Path,
    overrides: Sequence[str] = (),
    trial: Trial | None = None,
    named: tuple[str, str] | None = None,
) -> dict[str, Any] | None:
    """Runs a checked `cfg` in `folder`, goes on with it, or does nothing where it is done.

    Args:
        cfg: The configuration.
        folder: Of the run.
        overrides: That `cfg` was composed with; reports name the run by them.
        trial: Of a hyper-parameter search; see `acenas.run.pipeline.run`.
        named: Method and task, where the run is one of a benchmark.

    Returns:
        The summary; None where a hyper-parameter search gave the run up.

    Raises:
        UserError: Where it cannot run, another process runs it, or the folder holds another run.
    """
    if not cfg.fresh and (other := other_run(cfg, folder)):
        raise FolderInUseError(f"{folder} {other}; name another folder, or say fresh=true")
    try:
        with only_process(folder):
            if cfg.fresh:
                clear(folder)
            if not finished(folder):
                write_text(folder / runs.OVERRIDES, OmegaConf.to_yaml(OmegaConf.create([*overrides])))
                collecting = gc.isenabled()
                gc.disable()  # nothing that is made while modules are imported is garbage: a tenth of the time
                from acenas.run.pipeline import run  # takes seconds: after the checks, and where it is needed

                if collecting:
                    gc.enable()
                run(cfg, folder, trial, named)
    except FolderRemovedError:
        if not (folder / runs.LOCK).exists():  # what was written since is not whole
            shutil.rmtree(folder, ignore_errors=True)
        raise
    except OSError:
        if cfg.fresh or not finished(folder):  # else it is shown, where nothing can be written
            raise
    return finished(folder)


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
        return trials[trials["state"].isin(["trained", "failed"])] if "state" in trials else trials

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
        observed = self.observations.groupby("arch")[column].last()
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
