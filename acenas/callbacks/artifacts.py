"""What a run made and what it was made from, as W&B artifacts: super-net, weak labels, ranker, report."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytorch_lightning.loggers import Logger

from acenas.callbacks.loggers import SafeWandbLogger

if TYPE_CHECKING:
    from wandb import Artifact

MADE = {
    "supernet": ("supernet/supernet.pt",),
    "weak_labels": ("weak_labels.parquet",),
    "ranker": ("pretrain/ranker.pt",),
    "report": ("report.html", "report.png", "observations.parquet", "scores.parquet"),
}
"""Kinds of artifacts in the order in which one is made from another, and their files in the run folder."""


def artifact_name(kind: str, files: Sequence[Path]) -> str:
    """Names an artifact by its content, so that another run that uses a copy of the files names it the same."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return f"{kind}-{digest.hexdigest()[:10]}"


def log_artifacts(loggers: Sequence[Logger], folder: Path, weak_labels: Path | None = None) -> None:
    """Logs what lies in the run folder to those of `loggers` that are W&B, and links it with what it was made from.

    W&B draws the lineage of online runs. Offline, it records what a run makes but cannot record what it uses; each
    artifact therefore names what it was made from as well, in its metadata (`made_from`), and the run in its
    configuration (`uses`).

    Args:
        loggers: of the run.
        folder: of the run; what `MADE` does not find there was not made.
        weak_labels: a file of another run that this one learned from.
    """
    for logger in loggers:
        if isinstance(logger, SafeWandbLogger):
            logger.attempt(lambda logger=logger: _log(logger, folder, weak_labels))  # type: ignore[misc]


def _log(logger: SafeWandbLogger, folder: Path, weak_labels: Path | None) -> None:
    run, source = logger.experiment, []
    if weak_labels is not None:
        source = [artifact_name("weak_labels", [weak_labels])]
        run.config.update({"uses": source}, allow_val_change=True)
        if not run.offline:
            run.use_artifact(_artifact("weak_labels", [weak_labels], []))
    for kind, names in MADE.items():
        files = [folder / name for name in names if (folder / name).exists()]
        if files:
            artifact = _artifact(kind, files, source)
            run.log_artifact(artifact)
            source = [artifact.name.split(":")[0]]


def _artifact(kind: str, files: Sequence[Path], made_from: Sequence[str]) -> Artifact:
    import wandb  # slow, and never needed where W&B is disabled

    artifact = wandb.Artifact(artifact_name(kind, files), type=kind, metadata={"made_from": list(made_from)})
    for file in files:
        artifact.add_file(str(file), policy="immutable")  # where it lies: no copy of it waits to be sent
    return artifact
