"""The stages of one run in order. What is done is not done again: a run that was killed goes on where it was."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger

from acenas import runs
from acenas.callbacks import RankingMetrics, RoundTable, RunProgress, log_best_architectures
from acenas.config import run_hash, weak_label_names
from acenas.evaluation import Evaluator, Judge
from acenas.files import write_text
from acenas.ranker import Ranker
from acenas.report import (
    FinishedSearch,
    best_architectures,
    build_summary,
    round_metrics,
    write_report,
)
from acenas.search import SearchResult
from acenas.spaces import GraphBatch, SearchSpace
from acenas.tables import BenchmarkTable, WeakLabels, find_table

PACKAGES = ("acenas", "torch", "pytorch-lightning", "torch-geometric", "numpy")
"""Those whose versions a summary names."""


def run(cfg: DictConfig, folder: Path) -> None:
    """Runs what `cfg` asks for in `folder`, or goes on with it.

    Raises:
        UserError: where the configuration cannot run.
    """
    write_text(folder / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    if "measurement" in cfg:
        print(f"Measured: {instantiate(cfg.measurement).run(folder)}")
    else:
        runs.finish(folder, SearchRun(cfg, folder).run())


class SearchRun:
    """Pretrain, search, report: the arrows between the rooms, as one run draws them."""

    def __init__(self, cfg: DictConfig, folder: Path) -> None:
        self.cfg = cfg
        self.folder = folder
        # Named by the config as it was given: the path below depends on the machine.
        self.group = f"{cfg.experiment}-{run_hash(cfg, without=['seed'])}"
        self.name = f"{cfg.experiment}-{run_hash(cfg)}-seed{cfg.seed}"
        cfg.table.path = str(find_table(cfg.table.path, cfg.data_dir))
        self.space: SearchSpace = instantiate(cfg.space)
        self.evaluator: Evaluator = instantiate(cfg.evaluator)
        self.ranker: Ranker = instantiate(cfg.ranker, num_node_types=self.space.num_node_types)
        self.known_archs, self.known_accuracy = self.evaluator.known()  # for the metrics beside the search
        self.archs: Sequence[str] = self.known_archs
        self.graphs: GraphBatch = self.space.encode(self.archs)
        self.progress = RunProgress()

    def run(self) -> dict[str, Any]:
        """Every stage that is not done yet; returns the summary."""
        cfg, clock = self.cfg, Clock(self.folder)
        run_loggers = instantiate(cfg.logger, _partial_=True)(
            folder=self.folder,
            group=self.group,
            name=self.name,
            job_type="search",
            config=OmegaConf.to_container(cfg, resolve=True),
        )
        with run_loggers as loggers, self.progress:
            with clock.stage("pretrain"):
                pretrained = self.pretrain(loggers)
            with clock.stage("search"):
                result = self.search(pretrained, loggers)
            with clock.stage("report"):
                summary = self.report(result, clock.seconds, loggers)
        return summary | {"seconds": {"total": sum(clock.seconds.values()), **clock.seconds}}

    def pretrain(self, loggers: Sequence[Logger]) -> bool:
        """Pretrains the ranker on the weak labels, unless that is done; False where there are none."""
        names = weak_label_names(self.cfg)
        if not names:
            return False
        done = self.folder / "pretrain" / "ranker.pt"
        if done.exists():
            self.ranker.load(done)
            return True
        table = BenchmarkTable.open(self.cfg.table.path, space=self.cfg.table.space, columns=names)
        labels = WeakLabels.from_table(table, names).values(self.archs)
        self.ranker.pretrain(
            self.graphs,
            torch.from_numpy(labels).float(),
            label_names=names,
            folder=done.parent,
            callbacks=[self.progress],
            loggers=loggers,
        )
        self.ranker.save(done)
        return True

    def search(self, pretrained: bool, loggers: Sequence[Logger]) -> SearchResult:
        """The budgeted rounds. The metrics beside them are for people; nothing decides by them."""
        metrics = RankingMetrics(self.known_archs, self.known_accuracy, loggers)
        result: SearchResult = instantiate(self.cfg.search).run(
            self.space,
            self.archs,
            self.graphs,
            self.ranker,
            self.evaluator,
            self.folder,
            self.cfg.seed,
            callbacks=[metrics, RoundTable(metrics), self.progress],
            pretrained=pretrained,
        )
        return result

    def report(
        self, result: SearchResult, seconds: Mapping[str, float], loggers: Sequence[Logger]
    ) -> dict[str, Any]:
        """Figures, page and summary. Here, after the search has ended, test accuracies are seen for the first time."""
        judge: Judge = instantiate(self.cfg.judge)
        finished = FinishedSearch(
            experiment=self.cfg.experiment,
            seed=self.cfg.seed,
            table=self.cfg.table.name,
            dataset=self.cfg.table.dataset,
            observations=result.observations,
            scores=result.scores,
            observed=pd.Series(self.known_accuracy, index=list(self.known_archs)),
            test=pd.Series(judge.test_accuracy(self.archs), index=list(self.archs)),
            seconds=seconds,
            versions={package: version(package) for package in PACKAGES},
        )
        for row in round_metrics(finished):
            for logger in loggers:
                logger.log_metrics(row, step=int(row["search/trained"]) if "search/trained" in row else None)
        best = best_architectures(finished)
        log_best_architectures(loggers, best, [self.space.draw(arch) for arch in best["arch"]])
        write_report(
            self.folder,
            finished,
            self.space.draw,
            OmegaConf.to_yaml(self.cfg, resolve=True),
            self.costs(best["arch"].to_list()),
        )
        return build_summary(finished)

    def costs(self, archs: Sequence[str]) -> pd.DataFrame:
        """Parameters and FLOPs of `archs` in millions, where the table has them."""
        table = BenchmarkTable.open(self.cfg.table.path, space=self.cfg.table.space)
        names = [f"{self.cfg.table.dataset}.{cost}" for cost in ("params_m", "flops_m")]
        return pd.DataFrame(
            {name.split(".")[1]: table.lookup(archs, name) for name in names if name in table.columns},
            index=list(archs),
        )


class Clock:
    """Seconds spent in each stage, over all processes that worked on a run; kept in `seconds.json`."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "seconds.json"
        self.seconds: dict[str, float] = json.loads(self._file.read_text()) if self._file.exists() else {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the time of the block to that of stage `name`."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start
            write_text(self._file, json.dumps(self.seconds))
