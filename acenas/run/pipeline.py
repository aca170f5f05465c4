"""The stages of one run in order. What is done is not done again: a run that was killed goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger
from rich.console import Console
from torch import Tensor

from acenas.errors import UserError
from acenas.evaluation import Evaluator, Judge, TableEvaluator, TableJudge
from acenas.evaluation.costs import CostModel, CountedCosts, LatencyPredictor, Limits, TableCosts
from acenas.files import write_text
from acenas.images import ImageTask
from acenas.ranker import Ranker
from acenas.ranking import kendall
from acenas.report import runs
from acenas.report.finished import method_overrides
from acenas.report.live import (
    RankingMetrics,
    RoundTable,
    RunProgress,
    log_artifacts,
    log_best_architectures,
    made_in,
)
from acenas.report.page import write_report
from acenas.report.summary import FinishedSearch, best_architectures, build_summary, round_metrics
from acenas.run.config import COUNTED as COUNTED_COSTS
from acenas.run.config import constraints_of, run_hash, weak_label_columns, weak_label_names
from acenas.run.found import final_training, made, origin_of, searched_network
from acenas.run.pruning import PrunedError
from acenas.search import Candidates, Search, SearchResult
from acenas.search.events import SearchCallback
from acenas.seeds import torch_generator
from acenas.spaces import SearchSpace
from acenas.supernet import Scoring, SupernetTraining
from acenas.supernet.scoring import LABELS
from acenas.tables import BenchmarkTable, WeakLabels, find_table, parse_column
from acenas.tables.schema import Flops, Latency, Parameters
from acenas.tables.weak_labels import COUNTED
from acenas.training.final import TrainedNetwork
from acenas.training.final.formats import Export

PACKAGES = ("acenas", "torch", "pytorch-lightning", "torch-geometric", "numpy")
"""Those whose versions a summary names."""


def run(
    cfg: DictConfig, folder: Path, trial: Callable[[RankingMetrics], SearchCallback] | None = None
) -> None:
    """Runs what `cfg` asks for in `folder`, or goes on with it.

    Args:
        cfg: The configuration.
        folder: Of the run.
        trial: Makes what watches the search for a hyper-parameter search, and may give the run up.

    Raises:
        UserError: where the configuration cannot run.
    """
    written = OmegaConf.to_yaml(cfg, resolve=True)
    if cfg.measurement:
        measurement = instantiate(cfg.measurement)
        write_text(folder / "config.yaml", written)
        clock = runs.Clock(folder, runs.RunStatus(folder))
        with clock.stage("measurement"):
            table = measurement.run(folder)
        identity = {"experiment": str(cfg.experiment), "seed": int(cfg.seed), "measured": str(table)}
        runs.finish(folder, identity | clock.summary())
    else:
        one = Run(cfg, folder, trial)  # before the first file: a run that lacks something leaves no folder
        write_text(folder / "config.yaml", written)
        try:
            runs.finish(folder, one.run())
        except PrunedError as reason:
            write_text(folder / runs.PRUNED, f"{reason}\n")
            print(f"Given up: {reason}.")


def assist(cfg: DictConfig, folder: Path) -> None:
    """The part of a run that the other processes of a launcher (`torchrun`, `srun`) take: whatever trains on images."""
    if cfg.supernet or cfg.final:
        one = Run(cfg, folder)
        one.progress = RunProgress(Console(quiet=True))  # the first process tells how far the run is
        if cfg.supernet:
            one.supernet_labels(lambda stage: nullcontext())
        if cfg.final:
            final_training(cfg).run(folder / "final")


class Run:
    """Supernet, score, pretrain, search, report: the arrows between the rooms, as one run draws them."""

    def __init__(
        self,
        cfg: DictConfig,
        folder: Path,
        trial: Callable[[RankingMetrics], SearchCallback] | None = None,
    ) -> None:
        self.cfg = cfg
        self.folder = folder
        self.trial = trial
        # Named by the config as it was given: the path below depends on the machine.
        self.group = f"{cfg.experiment}-{run_hash(cfg, without=['seed'])}"
        self.name = f"{cfg.experiment}-{run_hash(cfg)}-seed{cfg.seed}"
        if cfg.table:
            cfg.table.path = str(find_table(cfg.table.path, cfg.data_dir))
        self.space: SearchSpace = instantiate(cfg.space)
        self.task: ImageTask | None = instantiate(cfg.images) if cfg.images else None
        # Here, so that what is missing for them does not cost a super-net.
        self.label_sources = self.labels_from_elsewhere() if cfg.search else {}
        if cfg.final and not cfg.search:
            final_training(cfg)  # so that a wrong architecture is told before the first file
        if cfg.export:
            made(cfg.export)
        self.evaluator: Evaluator | None = None
        if cfg.search:
            self.evaluator = in_folder(instantiate(cfg.evaluator), folder / "trained")
        self.limits = self.limits_on_costs()
        self.status = runs.RunStatus(folder)
        self.progress = RunProgress(status=self.status)

    def run(self) -> dict[str, Any]:
        """Every stage that is not done yet; returns the summary."""
        cfg, clock = self.cfg, runs.Clock(self.folder, self.status)
        # What sets the run apart, in the words of its user: W&B groups and filters by it.
        method = [
            override
            for override in method_overrides(self.folder)
            if override != f"experiment={cfg.experiment}"
        ]
        config: Any = OmegaConf.to_container(cfg, resolve=True)
        run_loggers = instantiate(cfg.logger, _partial_=True)(
            folder=self.folder,
            group=self.group,
            name=self.name,
            job_type="search" if cfg.search else "supernet" if cfg.supernet else "train",
            tags=[*cfg.logger.get("tags", []), *(tag[:64] for tag in method)],  # W&B takes no longer ones
            config=config | {"method": ", ".join(method) or "default"},
        )
        labels: WeakLabels | None = None
        result: dict[str, Any] = {}
        if cfg.search:
            self.listed, self.choices = self.what_can_be_chosen()  # before anything is trained for nothing
        with run_loggers as loggers, self.progress:
            if cfg.supernet:
                labels = self.supernet_labels(clock.stage, loggers)
                labels.save(self.folder / "weak_labels.parquet")
                result["weak_labels"] = self.label_quality(labels, loggers)
            if cfg.search:
                result |= self.search(labels, loggers, clock)
            identity = {"experiment": cfg.experiment, "seed": cfg.seed, "space": self.space.name}
            if cfg.final:
                result["final"] = self.final(result, loggers, clock)
            if cfg.export:
                with clock.stage("export"):
                    result["export"] = self.export(identity | result)
            uses = [("weak_labels", [Path(cfg.weak_labels_file)])] if cfg.weak_labels_file else []
            log_artifacts(loggers, made_in(self.folder), uses)
        return identity | result | clock.summary()

    # --- weak labels ---

    def supernet_labels(
        self, stage: Callable[[str], AbstractContextManager[None]], loggers: Sequence[Logger] = ()
    ) -> WeakLabels:
        """Trains the super-net and scores the space with it, unless that is done; with FLOPs and parameters."""
        training: SupernetTraining = instantiate(self.cfg.supernet)
        scoring: Scoring = instantiate(self.cfg.scoring)
        if self.limits and isinstance(scoring.archs, int):
            scoring = replace(scoring, archs=self.sample_within(scoring.archs))
        with stage("supernet"):
            network = training.run(self.folder / "supernet", [self.progress], loggers)
        with stage("score"):
            scored = scoring.run(
                network, self.folder / "score", training.description, self.progress.chunks("scoring")
            )
            return with_costs(scored, self.space, training.task)

    def sample_within(self, count: int) -> list[str]:
        """Different functions that keep the constraints, to be labelled: those that can be chosen are like them."""
        assert self.limits is not None
        found = Candidates(samples=count).sample(self.space, self.limits.within, self.cfg.scoring.seed)
        if len(found) < count:
            raise UserError(
                f"score: only {len(found)} different architectures of {self.space.name} with {self.limits} were found, "
                f"fewer than scoring.archs={count}; choose fewer, or higher limits"
            )
        return found

    def label_quality(self, labels: WeakLabels, loggers: Sequence[Logger]) -> dict[str, dict[str, float]]:
        """How well each weak label ranks what is known of the space, for people; also logged as `score/...`."""
        known, accuracy = self.known()
        connected = [i for i, arch in enumerate(known) if self.space.connected(arch)]
        if len(connected) < 2:
            return {}
        values = labels.values([known[i] for i in connected])
        quality = {
            name: {
                "kendall": kendall(torch.from_numpy(column), torch.from_numpy(accuracy[connected])),
                "architectures": len(connected),
            }
            for name, column in zip(labels.names, values.T, strict=True)
        }
        for logger in loggers:
            logger.log_metrics({f"score/{name}_kendall": value["kendall"] for name, value in quality.items()})
        return quality

    def labels_from_elsewhere(self) -> dict[str, WeakLabels]:
        """For each label to pretrain on that this run's super-net does not make: the file or the table that has it.

        Looked up before anything is trained, so that a wrong name does not cost a super-net.
        """
        cfg = self.cfg
        made = [*LABELS, *cost_names(self.task.source.name)] if cfg.supernet and self.task else []
        names = [name for name in weak_label_names(cfg) if name not in made]
        found: dict[str, WeakLabels] = {}
        if cfg.weak_labels_file:
            labels = WeakLabels.load(cfg.weak_labels_file, space=self.space.name)
            found = {name: labels for name in names if name in labels.names}
        columns = {name: weak_label_columns(cfg)[name] for name in names if name not in found}
        if columns and not cfg.table:
            raise UserError(
                f"weak_labels: there is no {next(iter(columns))}; choose from {', '.join([*made, *found]) or 'none'}, "
                "or name a table"
            )
        if columns:
            needed = list(dict.fromkeys(columns.values()))
            table = BenchmarkTable.open(cfg.table.path, space=cfg.table.space, columns=needed)
            found |= dict.fromkeys(columns, WeakLabels.from_table(table, list(columns), columns))
        return found

    def weak_labels(self, supernet: WeakLabels | None, archs: Sequence[str]) -> Tensor:
        """`[A, L]`, the labels to pretrain on: each of this run's super-net, else from elsewhere."""
        sources = {name: self.label_sources.get(name, supernet) for name in weak_label_names(self.cfg)}
        columns = [
            source.values(archs)[:, source.names.index(name)]
            for name, source in sources.items()
            if source is not None
        ]
        return torch.from_numpy(np.stack(columns, axis=1)).float()

    def labelled(self, supernet: WeakLabels | None) -> list[str]:
        """What to pretrain on: the space, or where that is too large to list, everything that has a label."""
        sources = [self.label_sources.get(name, supernet) for name in weak_label_names(self.cfg)]
        with_label = list(dict.fromkeys(arch for s in sources if s is not None for arch in s.archs))
        # A table may know a part of a space alone, and labels more of it.
        archs = self.listed if self.listed and self.can_be_listed() else with_label
        # A super-net labels the names of one function differently, and some functions have many names.
        if self.cfg.pretrain_on == "functions":
            return [archs[i] for i in self.space.distinct(archs)]
        return archs

    # --- what can be chosen ---

    def limits_on_costs(self) -> Limits | None:
        """The constraints of the search, and where each cost comes from; None without any."""
        at_most = constraints_of(self.cfg)
        return Limits(at_most, [self.cost_model(name) for name in at_most]) if at_most else None

    def cost_model(self, name: str) -> CostModel:
        """Measured latencies given as a file, else the table, else counted on the networks for the run's images."""
        cfg, task = self.cfg, self.task
        if cfg.latency_file and name.startswith("latency_ms"):
            return LatencyPredictor.from_file(cfg.latency_file, self.space, name)
        there: list[str] = []
        if cfg.table:
            table = BenchmarkTable.open(cfg.table.path, space=cfg.table.space)
            there = [column for column in table.columns if column.startswith(f"{cfg.table.dataset}.")]
            if f"{cfg.table.dataset}.{name}" in there and isinstance(self.evaluator, TableEvaluator):
                return TableCosts(table, cfg.table.dataset, name)
        if task and name in COUNTED_COSTS:
            return CountedCosts(self.space, task.splits.num_classes, task.splits.image_shape, name)
        costs = [column.split(".", 1)[1] for column in there]
        known = [cost for cost in costs if cost.startswith((*COUNTED_COSTS, "latency_ms"))]
        raise UserError(
            f"search.constraints: nothing here tells {name}; "
            + (f"the table has {', '.join(known)}" if known else "the run has no table with costs")
            + "; latencies can be measured with python -m acenas.latency and given as latency_file=FILE, and what can "
            "be counted needs images=..."
        )

    def what_can_be_chosen(self) -> tuple[list[str] | None, list[str]]:
        """All architectures, None where they are too many to list, and those that can be chosen from the beginning.

        Raises:
            UserError: where none keeps the constraints.
        """
        assert self.evaluator is not None
        # Where all is trained from scratch, all can be chosen.
        listed: list[str] | None = self.evaluator.known()[0]
        if not listed:
            try:
                listed = list(self.space.enumerate())
            except NotImplementedError:
                listed = None
        if listed is not None:
            within = self.within(listed)
            choices = [arch for arch, keep in zip(listed, within.tolist(), strict=True) if keep]
        else:
            search: Search = instantiate(self.cfg.search)
            choices = search.candidates.sample(self.space, self.within, self.cfg.seed)
        if self.limits and not choices:
            of = listed or self.space.sample(10_000, torch_generator(self.cfg.seed, "candidates"))
            raise self.limits.nothing_left(of)
        return listed, choices

    def can_be_listed(self) -> bool:
        """Whether the space is small enough for that, as far as it matters."""
        if not (self.cfg.supernet or self.cfg.weak_labels_file):
            return True  # then labels come from the table, and what it knows is all there is
        try:
            self.space.enumerate()
        except NotImplementedError:
            return False
        return True

    def within(self, archs: Sequence[str]) -> NDArray[np.bool_]:
        """Which of `archs` keep the constraints."""
        return self.limits.within(archs) if self.limits else np.ones(len(archs), np.bool_)

    # --- the search ---

    def known(self) -> tuple[list[str], NDArray[np.float64]]:
        """What the table says of the space, observed: for metrics beside the search, never for its choices."""
        table = self.cfg.table
        if not table:
            return [], np.zeros(0)
        return self.kept(*TableEvaluator(table.path, table.space, table.observed).known())

    def kept(
        self, archs: Sequence[str], values: NDArray[np.float64]
    ) -> tuple[list[str], NDArray[np.float64]]:
        """Those that keep the constraints: a search is compared with what it may return."""
        within = self.within(archs)
        return [arch for arch, keep in zip(archs, within.tolist(), strict=True) if keep], values[within]

    def search(
        self, supernet: WeakLabels | None, loggers: Sequence[Logger], clock: runs.Clock
    ) -> dict[str, Any]:
        """Pretrains, searches and reports; returns the search's part of the summary."""
        cfg, space, evaluator = self.cfg, self.space, self.evaluator
        assert evaluator is not None
        archs = self.choices
        # Equal functions are equal graphs: what is known of one is known of all its names.
        graphs = space.canonical_graphs(archs)
        names = weak_label_names(cfg)
        ranker: Ranker = instantiate(cfg.ranker, num_node_types=space.num_node_types)
        with clock.stage("pretrain"):
            done = self.folder / "pretrain" / "ranker.pt"
            if names and done.exists():
                ranker.load(done)
            elif names:
                labelled = self.labelled(supernet)
                ranker.pretrain(
                    space.canonical_graphs(labelled),
                    self.weak_labels(supernet, labelled),
                    label_names=names,
                    folder=done.parent,
                    callbacks=[self.progress],
                    loggers=loggers,
                )
                ranker.save(done)
        with clock.stage("search"):
            known, accuracy = self.known()
            metrics = RankingMetrics(known, accuracy, loggers)
            trial = [self.trial(metrics)] if self.trial else []
            result: SearchResult = instantiate(cfg.search).run(
                space,
                archs,
                graphs,
                ranker,
                evaluator,
                self.folder,
                cfg.seed,
                callbacks=[metrics, RoundTable(metrics), self.progress, *trial],
                pretrained=bool(names),
                within=self.within if self.listed is None else None,
            )
        with clock.stage("report"):
            return self.report(result, clock.seconds, loggers)

    def report(
        self, result: SearchResult, seconds: Mapping[str, float], loggers: Sequence[Logger]
    ) -> dict[str, Any]:
        """Figures, page and summary. Here, after the search has ended, test accuracies are seen for the first time."""
        cfg = self.cfg
        judge: Judge = in_folder(instantiate(cfg.judge), self.folder / "trained")
        known, accuracy = self.known()
        trained = pd.Series(
            result.observations["observed_accuracy"].to_numpy(), index=list(result.observations["arch"])
        )
        finished = FinishedSearch(
            experiment=cfg.experiment,
            seed=cfg.seed,
            table=cfg.table.name if cfg.table else "trained from scratch",
            dataset=cfg.table.dataset if cfg.table else self.task.source.name if self.task else "",
            observations=result.observations,
            scores=result.scores,
            observed=pd.Series(accuracy, index=known, dtype=np.float64).combine_first(trained),
            test=_series(*self.kept(*judge.known())),
            seconds=seconds,
            versions={package: version(package) for package in PACKAGES},
            reference=(
                _series(*self.kept(*TableJudge(cfg.table.path, cfg.table.space, cfg.table.test).known()))
                if cfg.table
                else None
            ),
            limits=self.limits.at_most if self.limits else {},
            costs=self.limits.costs(result.observations["arch"].to_list()) if self.limits else pd.DataFrame(),
            cost_origins={m.name: m.origin for m in self.limits.models} if self.limits else {},
        )
        for row in round_metrics(finished):
            for logger in loggers:
                logger.log_metrics(row, step=int(row["search/trained"]) if "search/trained" in row else None)
        best = best_architectures(finished)
        log_best_architectures(loggers, best, [self.space.draw(arch) for arch in best["arch"]])
        costs = self.costs(best["arch"].to_list())
        write_report(self.folder, finished, self.space.draw, OmegaConf.to_yaml(cfg, resolve=True), costs)
        summary = build_summary(finished)
        summary["returned"]["costs"] = costs.loc[finished.returned].dropna().to_dict()
        return summary

    def costs(self, archs: Sequence[str]) -> pd.DataFrame:
        """Parameters and FLOPs of `archs` in millions, counted, or from the table, which may have latencies (ms)."""
        if self.task:
            none = WeakLabels(self.space.name, archs, [], np.zeros((len(archs), 0)), {})
            labels = with_costs(none, self.space, self.task)
            return labels.frame().rename(columns=lambda name: name.split(".")[1])
        table = BenchmarkTable.open(self.cfg.table.path, space=self.cfg.table.space)
        of_dataset = str(self.cfg.table.observed).split(".")[0] + "."
        costs = [
            name for name in table.columns if isinstance(parse_column(name), Parameters | Flops | Latency)
        ]
        found = {
            name.removeprefix(of_dataset): table.column(name)[
                table.rows(archs)
            ]  # NaN where it was not measured
            for name in costs
            if name.startswith(of_dataset)
        }
        return pd.DataFrame(found, index=list(archs))

    # --- the found network ---

    def final(
        self, result: Mapping[str, Any], loggers: Sequence[Logger], clock: runs.Clock
    ) -> dict[str, Any]:
        """Trains the found network; returns its part of the summary."""
        with clock.stage("final"):
            facts = (
                final_training(self.cfg, result).run(self.folder / "final", [self.progress], loggers).facts
            )
        for logger in loggers:
            logger.log_metrics({f"train/{part}_accuracy": value for part, value in facts.accuracy.items()})
        return {"arch": facts.arch, "accuracy": facts.accuracy, "damaged_images": len(facts.damaged)}

    def export(self, summary: Mapping[str, Any]) -> list[str]:
        """Writes the files of the trained network and its model card; returns the formats."""
        cfg = self.cfg
        if cfg.final:
            trained = TrainedNetwork.load(self.folder / "final", self.space)
        else:
            assert self.task is not None
            trained = searched_network(self.folder, self.space, self.task, cfg, summary)
        export: Export = made(cfg.export)
        origin = origin_of(cfg, self.folder, summary, trained.facts)
        return list(export.run(trained, self.folder / "export", origin))


def cost_names(source: str) -> list[str]:
    """The labels that `with_costs` adds for images of `source`."""
    return [f"{source}.params_m", f"{source}.flops_m"]


def with_costs(labels: WeakLabels, space: SearchSpace, task: ImageTask) -> WeakLabels:
    """`labels` and, beside them, the parameters and FLOPs of the networks for the images of `task`, in millions."""
    splits, source = task.splits, task.source.name
    costs = space.costs(labels.archs, splits.num_classes, splits.image_shape)
    return labels.beside(
        WeakLabels(
            space.name,
            labels.archs,
            cost_names(source),
            np.array([(cost.params_m, cost.flops_m) for cost in costs]).reshape(-1, 2),
            dict.fromkeys(cost_names(source), COUNTED),
        )
    )


def in_folder(made: Any, folder: Path) -> Any:
    """What a config made; where it waits for a folder to keep its work in (`_partial_: true`), with `folder`."""
    return made(folder=folder) if isinstance(made, partial) else made


def _series(archs: Sequence[str], values: NDArray[np.float64]) -> pd.Series[float]:
    return pd.Series(values, index=list(archs), dtype=np.float64)
