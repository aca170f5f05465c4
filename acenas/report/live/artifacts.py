"""W&B artifacts of a run and their lineage: super-net, weak labels, ranker, report."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytorch_lightning.loggers import Logger

from acenas.report.live.loggers import SafeWandbLogger

if TYPE_CHECKING:
    from wandb import Artifact

ArtifactFiles = tuple[str, Sequence[Path]]
"""A kind of artifact, and its files."""

KINDS = {
    "supernet": ("supernet/supernet.pt",),
    "weak_labels": ("weak_labels.parquet",),
    "ranker": ("pretrain/ranker.pt",),
    "report": ("report.html", "report.png", "observations.parquet", "scores.parquet"),
}
"""Kinds of artifacts in the order in which one is made from another, and their files in the run folder."""


def artifacts_of_run(folder: Path) -> list[ArtifactFiles]:
    """Returns the artifacts of `KINDS` that the run in `folder` has made."""
    present = [
        (kind, [folder / name for name in names if (folder / name).exists()]) for kind, names in KINDS.items()
    ]
    return [(kind, files) for kind, files in present if files]


def artifact_name(kind: str, files: Sequence[Path]) -> str:
    """Returns a name that depends on the content alone, so that a copy of the files has the same name in any run."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return f"{kind}-{digest.hexdigest()[:10]}"


def log_artifacts(
    loggers: Sequence[Logger], outputs: Sequence[ArtifactFiles], inputs: Sequence[ArtifactFiles] = ()
) -> None:
    """Logs artifacts to those of `loggers` that are W&B, each linked with what it was made from.

    W&B draws the lineage of online runs. Offline, it records what a run makes but cannot record what it uses; so each
    artifact also names its sources in its metadata (`made_from`), and the run in its configuration (`uses`).

    Args:
        loggers: of the run.
        outputs: artifacts of the run, each made from the one before it.
        inputs: artifacts of other runs, from which the first of `outputs` was made.
    """
    for logger in loggers:
        if isinstance(logger, SafeWandbLogger):
            logger.attempt(lambda logger=logger: _log(logger, outputs, inputs))  # type: ignore[misc]


def _log(logger: SafeWandbLogger, outputs: Sequence[ArtifactFiles], inputs: Sequence[ArtifactFiles]) -> None:
    run, source = logger.experiment, [artifact_name(kind, files) for kind, files in inputs]
    if inputs:
        run.config.update({"uses": source}, allow_val_change=True)
    for kind, files in inputs if not run.offline else ():
        run.use_artifact(_artifact(kind, files, []))
    for kind, files in outputs:
        run.log_artifact(_artifact(kind, files, source))
        source = [artifact_name(kind, files)]


def _artifact(kind: str, files: Sequence[Path], made_from: Sequence[str]) -> Artifact:
    import wandb  # slow, and never needed where W&B is disabled

    artifact = wandb.Artifact(artifact_name(kind, files), type=kind, metadata={"made_from": list(made_from)})
    for file in files:
        artifact.add_file(str(file), policy="immutable")  # where it lies: no copy of it waits to be sent
    return artifact
