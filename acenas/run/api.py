"""A search from Python: what the command does, and its result as an object."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import compose
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from acenas.errors import UserError
from acenas.files import number, write_text
from acenas.report.runs import finished, headline
from acenas.run.config import check_config, check_overrides, composing, instantiate, run_folder
from acenas.run.folder import FolderInUseError, clear, only_process, remove_if_unused

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from acenas.run.stages.search import Trial
    from acenas.spaces import SearchSpace


def search(
    space: str = "nb201",
    *,
    table: str | None = None,
    budget: int | None = None,
    seed: int = 0,
    folder: str | Path = "outputs",
    overrides: Sequence[str] = (),
) -> SearchRun:
    """Runs the search of `python -m acenas experiment=<space>_ltr`, goes on with it, or opens it where it is done.

    Configuration, run folder and result are those of the command with the same arguments.

    Args:
        space: Of the experiment: `nb201`, `nb101`, `nds_darts`, `mobilenet`, ...
        table: The benchmark table that has the accuracies; None for the experiment's own.
        budget: Architectures to train, all of them; None for the experiment's own.
        seed: Drives every choice.
        folder: Where runs are kept (`output_root`); that of this run is `<folder>/<experiment>/<hash>` in it.
        overrides: More of the configuration, as on the command line: `["loss=ranknet", "logger.mode=disabled"]`.

    Returns:
        The finished run.

    Raises:
        UserError: Where the configuration cannot be run.
    """
    given = [f"experiment={space}_ltr", f"seed={seed}"]
    given += [f"table={table}"] if table is not None else []
    given += [f"search.budget={budget}"] if budget is not None else []
    given += overrides
    try:
        with composing():
            groups = compose("config", given, return_hydra_config=True).hydra.runtime.choices
            cfg = compose("config", given)
            check_overrides(cfg, given, groups, "config")
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(str(error)) from error
    cfg.output_root = str(folder)
    check_config(cfg)
    place = run_folder(cfg)
    if not (
        kept := place / ".hydra" / "overrides.yaml"
    ).exists():  # as beside a command's run: reports read them
        write_text(kept, OmegaConf.to_yaml(OmegaConf.create(given)))
    try:
        complete(cfg, place)
    except FolderInUseError:
        raise
    except UserError:
        remove_if_unused(place)
        raise
    return SearchRun(place)


def complete(cfg: DictConfig, folder: Path, trial: Trial | None = None) -> dict[str, Any] | None:
    """Runs a checked `cfg` in `folder`, goes on with it, or does nothing where it is done.

    Args:
        cfg: The configuration.
        folder: Of the run.
        trial: Of a hyper-parameter search; see `acenas.run.pipeline.run`.

    Returns:
        The summary; None where a hyper-parameter search gave the run up.

    Raises:
        UserError: Where it cannot run, or another process runs it.
    """
    with only_process(folder):
        if cfg.fresh:
            clear(folder)
        if not finished(folder):
            collecting = gc.isenabled()
            gc.disable()  # nothing that is made while modules are imported is garbage: a tenth of the time
            from acenas.run.pipeline import run  # takes seconds: after the checks, and where it is needed

            if collecting:
                gc.enable()
            run(cfg, folder, trial)
    return finished(folder)


@dataclass(frozen=True)
class SearchRun:
    """A finished run of a search.

    Its configuration says what is made again to draw architectures: open no run of a stranger.

    Attributes:
        folder: Of the run, with `report.html`, `summary.json`, `config.yaml` and all else that it left behind.
    """

    folder: Path

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The content of `summary.json`; accuracies in percent.

        Raises:
            UserError: Where there is no finished search in the folder.
        """
        summary = finished(self.folder)
        if summary is None or "returned" not in summary:
            raise UserError(f"there is no finished search in {self.folder}")
        return summary

    @cached_property
    def config(self) -> DictConfig:
        """The resolved configuration."""
        cfg = OmegaConf.load(self.folder / "config.yaml")
        assert isinstance(cfg, DictConfig)
        return cfg

    @cached_property
    def space(self) -> SearchSpace:
        """The search space."""
        return instantiate(self.config.space)  # type: ignore[no-any-return]

    @property
    def returned(self) -> str:
        """The architecture that the search returned."""
        return str(self.summary["returned"]["arch"])

    @property
    def observed_accuracy(self) -> float:
        """What training the returned architecture showed, percent."""
        return float(self.summary["returned"]["observed_accuracy"])

    @property
    def test_accuracy(self) -> float:
        """Of the returned architecture, percent; the search has never seen it."""
        return float(self.summary["returned"]["test_accuracy"])

    @property
    def observations(self) -> pd.DataFrame:
        """Every architecture trained, in order: `arch`, `round`, `reason`, `observed_accuracy` (percent), `seconds`."""
        import pandas as pd

        return pd.read_parquet(self.folder / "observations.parquet")

    def ranking(self) -> pd.DataFrame:
        """All architectures that were scored, the best by the last fit first.

        Returns:
            `arch`, `score` (only their order means anything), and `observed_accuracy`, NaN where it was not trained.
        """
        import pandas as pd

        scores = pd.read_parquet(self.folder / "scores.parquet")
        observed = self.observations.groupby("arch")["observed_accuracy"].last()
        ranked = pd.DataFrame({"arch": scores["arch"], "score": scores.iloc[:, -1]})
        ranked["observed_accuracy"] = ranked["arch"].map(observed)
        return ranked.sort_values("score", ascending=False, kind="stable", ignore_index=True)

    def plot(self) -> Figure:
        """What each training showed, the best so far, and how well each round ranked what is known of the space."""
        import matplotlib as mpl
        from matplotlib import pyplot  # not the bare class: notebooks show its figures

        from acenas.report.figures import BLUE, GREEN, ORANGE, STYLE

        accuracy = self.observations["observed_accuracy"]
        trained = range(1, len(accuracy) + 1)
        with mpl.rc_context(STYLE):
            figure, (above, below) = pyplot.subplots(
                2, 1, sharex=True, figsize=(5.6, 4.6), height_ratios=[3, 2], layout="constrained"
            )
            above.scatter(trained, accuracy, s=16, color=ORANGE, label="trained")
            above.step(trained, accuracy.cummax(), where="post", color=BLUE, label="best so far")
            above.set(ylabel="observed accuracy (%)", ylim=(accuracy.quantile(0.1), None))
            above.legend(loc="lower right")
            curve = self.summary["curve"]
            ndcg = [float("nan") if point["ndcg@10"] is None else point["ndcg@10"] for point in curve]
            below.plot([point["trained"] for point in curve], ndcg, marker="o", color=GREEN)
            below.set(xlabel="architectures trained", ylabel="NDCG@10", ylim=(0, 1.02))
            pyplot.close(figure)  # shown once, as what the cell returns
        return figure

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
        return headline(self.summary)

    def _repr_html_(self) -> str:
        summary, metrics = self.summary, self.summary["metrics"]
        rows = {
            "returned": f"<code>{escape(self.returned)}</code>",
            "observed accuracy": f"{number(self.observed_accuracy)} %",
            "test accuracy": f"{number(self.test_accuracy)} % (never seen by the search)",
            "best known, test": f"{number(summary['best_known']['test_accuracy'])} %",
            "architectures trained": str(summary["trained"]),
            "NDCG@10, Kendall": f"{number(metrics['ndcg@10'], 3)}, {number(metrics['kendall'], 3)}",
            "report": f"<code>{escape(str(self.folder / 'report.html'))}</code>",
        }
        cells = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows.items())
        title = f"{summary['experiment']} on {summary['table']} {summary['dataset']}, seed {summary['seed']}"
        return f"<table><caption>{escape(title)}</caption>{cells}</table>"
