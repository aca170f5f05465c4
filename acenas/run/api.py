"""A search from Python: what the command does."""

from __future__ import annotations

import gc
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from omegaconf import DictConfig, OmegaConf

from acenas.errors import UserError
from acenas.files import write_text
from acenas.report import runs
from acenas.report.identity import Named
from acenas.report.runs import finished, is_done
from acenas.run.command_line import as_meant, checked_config
from acenas.run.config import instantiate, other_run, run_folder
from acenas.run.folder import FolderInUseError, FolderRemovedError, clear, only_process, remove_if_unused
from acenas.run.result import SearchRun

if TYPE_CHECKING:
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
            NaN, are failed trainings. With `epochs`, the length of a full training, it can be a generator function that
            yields the objective after each epoch, and is closed where the training is stopped. Or an `Evaluator`, a
            `BenchmarkTable`, or a frame with `arch` or the choices and the objective.
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
    named: Named | None = None,
    page: bool = True,
) -> dict[str, Any] | None:
    """Runs a checked `cfg` in `folder`, goes on with it, or does nothing where it is done.

    Args:
        cfg: The configuration.
        folder: Of the run.
        overrides: That `cfg` was composed with; reports name the run by them.
        trial: Of a hyper-parameter search; see `acenas.run.pipeline.run`.
        named: Method and task, where the run is one of a benchmark.
        page: Whether a search gets its `report.html`, with figures; one that is done without gets it now.

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
            if not is_done(folder, page):
                write_text(folder / runs.OVERRIDES, OmegaConf.to_yaml(OmegaConf.create([*overrides])))
                collecting = gc.isenabled()
                gc.disable()  # nothing that is made while modules are imported is garbage: a tenth of the time
                if cfg.get("arch"):  # which needs less of what takes seconds
                    instantiate(cfg.space).validate(cfg.arch)
                with (
                    warnings.catch_warnings()
                ):  # that torch-geometric's import gives, an error to who asks for that
                    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
                    from acenas.run.pipeline import (
                        run,
                    )  # takes seconds: after the checks, and where it is needed

                if collecting:
                    gc.enable()
                run(cfg, folder, trial, named, page)
    except FolderRemovedError:
        if not (folder / runs.LOCK).exists():  # what was written since is not whole
            shutil.rmtree(folder, ignore_errors=True)
        raise
    except OSError:
        if cfg.fresh or not finished(folder):  # else it is shown, where nothing can be written
            raise
    return finished(folder)
