"""What a run made and what it was made from, as W&B artifacts: super-net, weak labels, ranker, report."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytorch_lightning.loggers import Logger

from acenas.report.live.loggers import SafeWandbLogger

if TYPE_CHECKING:
    from wandb import Artifact

Files = tuple[str, Sequence[Path]]
"""A kind of artifact, and its files."""

MADE = {
    "supernet": ("supernet/supernet.pt",),
    "weak_labels": ("weak_labels.parquet",),
    "ranker": ("pretrain/ranker.pt",),
    "report": ("report.html", "report.png", "observations.parquet", "scores.parquet"),
}
"""Kinds of artifacts of a run in the order in which one is made from another, and their files in its folder."""


def made_in(folder: Path) -> list[Files]:
    """What a run has made, of `MADE`."""
    found = [
        (kind, [folder / name for name in names if (folder / name).exists()]) for kind, names in MADE.items()
    ]
    return [(kind, files) for kind, files in found if files]


def artifact_name(kind: str, files: Sequence[Path]) -> str:
    """Names an artifact by its content, so that another run that uses a copy of the files names it the same."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return f"{kind}-{digest.hexdigest()[:10]}"


def log_artifacts(loggers: Sequence[Logger], made: Sequence[Files], uses: Sequence[Files] = ()) -> None:
    """Logs what was made to those of `loggers` that are W&B, and links it with what it was made from.

    W&B draws the lineage of online runs. Offline, it records what a run makes but cannot record what it uses; each
    artifact therefore names what it was made from as well, in its metadata (`made_from`), and the run in its
    configuration (`uses`).

    Args:
        loggers: of the run.
        made: each from the one before it.
        uses: of other runs; what the first of `made` was made from.
    """
    for logger in loggers:
        if isinstance(logger, SafeWandbLogger):
            logger.attempt(lambda logger=logger: _log(logger, made, uses))  # type: ignore[misc]


def _log(logger: SafeWandbLogger, made: Sequence[Files], uses: Sequence[Files]) -> None:
    run, source = logger.experiment, [artifact_name(kind, files) for kind, files in uses]
    if uses:
        run.config.update({"uses": source}, allow_val_change=True)
    for kind, files in uses if not run.offline else ():
        run.use_artifact(_artifact(kind, files, []))
    for kind, files in made:
        run.log_artifact(_artifact(kind, files, source))
        source = [artifact_name(kind, files)]


def _artifact(kind: str, files: Sequence[Path], made_from: Sequence[str]) -> Artifact:
    import wandb  # slow, and never needed where W&B is disabled

    artifact = wandb.Artifact(artifact_name(kind, files), type=kind, metadata={"made_from": list(made_from)})
    for file in files:
        artifact.add_file(str(file), policy="immutable")  # where it lies: no copy of it waits to be sent
    return artifact
