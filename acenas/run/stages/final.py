"""The last stages: trains the found network to its full accuracy, and writes its files for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger

from acenas.report.live import RunProgress
from acenas.run.config import instantiate
from acenas.run.networks import final_training, origin_of, trained_network
from acenas.training.final.export import Export


def train(
    cfg: DictConfig,
    folder: Path,
    result: Mapping[str, Any],
    progress: RunProgress,
    loggers: Sequence[Logger],
) -> dict[str, Any]:
    """Trains the network that `cfg` names or the search returned; returns its part of the summary."""
    facts = final_training(cfg, result).run(folder / "final", [progress], loggers).facts
    for logger in loggers:
        logger.log_metrics({f"train/{part}_accuracy": value for part, value in facts.accuracy.items()})
    return {"arch": facts.arch, "accuracy": facts.accuracy, "damaged_images": len(facts.damaged)}


def export(cfg: DictConfig, folder: Path, summary: Mapping[str, Any]) -> list[str]:
    """Writes the files of the trained network and its model card; returns the formats."""
    writer: Export = instantiate(cfg.export)
    trained = trained_network(cfg, folder, summary)
    return list(writer.run(trained, folder / "export", origin_of(cfg, folder, summary, trained.facts)))
