"""What trainings need: a checkpoint after each epoch, silence, one thread where networks are small."""

import logging
import secrets
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import SingleDeviceStrategy

from acenas.images import ImageData
from acenas.training.processes import Hardware


class EpochCheckpoint(pl.callbacks.Checkpoint):
    """Writes the whole state of training after every epoch, in the first process; a kill leaves the last whole one.

    Args:
        path: of the one file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Called in all processes, as Lightning gathers the state from all of them."""
        # By chance: processes of several containers or machines may have one number.
        temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.tmp")
        try:
            trainer.save_checkpoint(temporary, weights_only=False)
            if trainer.is_global_zero:
                temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def quiet() -> Iterator[None]:
    """Without Lightning's lines on devices, processes and reaching the last epoch."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Raised inside Lightning 2.6 with torch 2.13; nothing a user of this package could change.
            warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
            warnings.filterwarnings("ignore", message="GPU available but not used")  # `accelerator` says so
            # Its successor is not in the oldest torch that this package runs with.
            warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")
            # On a machine from which jobs are submitted.
            warnings.filterwarnings("ignore", message="The `srun` command is available")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch: faster for small networks, and results do not depend on the number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fit(
    module: pl.LightningModule,
    data: ImageData,
    hardware: Hardware,
    checkpoint: Path,
    callbacks: Sequence[pl.Callback] = (),
    **trainer_options: Any,
) -> None:
    """Trains `module` on images, as one of the processes; goes on after the last whole epoch that `checkpoint` holds.

    Args:
        module: is trained in place.
        data: its images.
        hardware: where.
        checkpoint: written after each epoch, in the first process.
        callbacks: of Lightning.
        trainer_options: of Lightning's trainer; a strategy where there are several processes.
    """
    trainer_options.setdefault("strategy", SingleDeviceStrategy(hardware.device(0)))
    with quiet(), torch.random.fork_rng(devices=[]):
        trainer = pl.Trainer(
            accelerator="gpu" if hardware.on_gpu else "cpu",
            devices=hardware.devices,
            num_nodes=hardware.num_nodes,
            precision=hardware.precision,
            callbacks=[*callbacks, EpochCheckpoint(checkpoint)],
            reload_dataloaders_every_n_epochs=1,
            use_distributed_sampler=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **trainer_options,
        )
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint if checkpoint.exists() else None)
