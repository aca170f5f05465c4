"""Lightning as all trainings use it: a checkpoint after each epoch, quiet logs, one thread for small networks."""

from __future__ import annotations

import logging
import signal
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.loggers import Logger
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import Tensor
from typing_extensions import override

from acenas.files import atomic_path, check_kind, read_state, reading

if TYPE_CHECKING:  # rankers use this file too, without processes
    from acenas.training.processes import Hardware


class EpochCheckpoint(pl.callbacks.Checkpoint):
    """Writes the state of a training to the file `path` at the end of an epoch; a kill leaves the last whole file.

    It must run in all processes, as Lightning gathers the state from all of them. Except after the last epoch, or that
    in which the training was stopped, the file is written only where that was `seconds` ago, which must be 0 with
    several processes.
    """

    def __init__(self, path: Path, seconds: float = 0.0) -> None:
        self.path = path
        self.seconds = seconds
        self._written = time.monotonic()

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        last = trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs
        if not last and time.monotonic() - self._written < self.seconds:
            return
        with atomic_path(self.path) if trainer.is_global_zero else nullcontext(self.path) as temporary:
            trainer.save_checkpoint(temporary, weights_only=False)
        self._written = time.monotonic()


def log_epoch(
    module: pl.LightningModule, metrics: Mapping[str, float | Tensor], step: int | None = None
) -> None:
    """Logs metrics of an epoch, the mean of those of all processes, before its checkpoint is written.

    `LightningModule.log` would write them afterwards: a run that is killed in between would lack them for ever. Modules
    that count their steps themselves give the last one of the epoch.
    """
    means = {
        name: float(
            module.trainer.strategy.reduce(
                torch.as_tensor(value, dtype=torch.float32, device=module.device), reduce_op="mean"
            )
        )
        for name, value in metrics.items()
    }
    for logger in module.loggers:
        logger.log_metrics(
            means | {"epoch": float(module.current_epoch)},
            step=module.global_step - 1 if step is None else step,
        )


def resumable(checkpoint: Path, module: pl.LightningModule) -> Path | None:
    """Returns the checkpoint to go on from; None where there is none yet.

    Raises:
        UserError: where it is damaged, or of another training.
    """
    if not checkpoint.exists():
        return None
    remedy = "remove it to begin this training again"
    state = read_state(checkpoint, remedy)
    with reading(checkpoint, remedy):
        check_kind(state, dict.fromkeys(("loops", "epoch", "optimizer_states", "lr_schedulers"), object))
        module.load_state_dict(state["state_dict"])
    return checkpoint


@contextmanager
def quiet() -> Iterator[None]:
    """Hides Lightning's messages on devices, processes and the last epoch, and warnings that no user can act on.

    Keeps an interrupt a `KeyboardInterrupt`, where Lightning would exit and ignore further ones.
    """
    on_interrupt = signal.getsignal(signal.SIGINT)
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
    except SystemExit as exited:
        if not isinstance(exited.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, on_interrupt)
        raise KeyboardInterrupt from None
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def one_thread() -> Iterator[None]:
    """Limits torch to one thread: faster for small networks, and results do not depend on the number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fit(
    module: pl.LightningModule,
    data: pl.LightningDataModule | Iterable[Any] | None,
    checkpoint: Path | None,
    callbacks: Sequence[pl.Callback] = (),
    loggers: Sequence[Logger] = (),
    *,
    hardware: Hardware | None = None,
    device: torch.device | None = None,
    checkpoint_seconds: float = 0.0,
    **trainer_options: Any,
) -> None:
    """Trains `module` in place, as one of the processes; resumes from the checkpoint where there is one.

    Args:
        module: to train.
        data: its batches; None where the module makes them.
        checkpoint: the file of `EpochCheckpoint`; None for none.
        callbacks: of Lightning.
        loggers: of Lightning.
        hardware: to train on; None for one CPU.
        device: of a single process; None for the first of `hardware`.
        checkpoint_seconds: see `EpochCheckpoint`.
        trainer_options: further arguments of `pl.Trainer`; with several processes a `strategy`.
    """
    options: dict[str, Any] = {"accelerator": "cpu", "devices": 1}
    if hardware is not None:
        options = {name: getattr(hardware, name) for name in ("devices", "num_nodes", "precision")}
        options["accelerator"] = "gpu" if hardware.on_gpu else "cpu"
    if "strategy" not in trainer_options:  # one process, whatever the variables of a cluster say
        options["plugins"] = [LightningEnvironment()]
        if hardware is not None:
            options["strategy"] = SingleDeviceStrategy(device or hardware.device(0))
    written = [] if checkpoint is None else [EpochCheckpoint(checkpoint, checkpoint_seconds)]
    with quiet(), torch.random.fork_rng(devices=[]):
        trainer = pl.Trainer(
            callbacks=[*callbacks, *written],
            logger=list(loggers) or False,
            reload_dataloaders_every_n_epochs=1,
            use_distributed_sampler=False,
            enable_checkpointing=bool(written),
            enable_progress_bar=False,
            enable_model_summary=False,
            **options | trainer_options,
        )
        try:
            trainer.fit(module, data, ckpt_path=None if checkpoint is None else resumable(checkpoint, module))
        finally:
            if trainer.received_sigterm:  # Lightning exits with status 0, or goes on after the last batch
                signal.raise_signal(signal.SIGTERM)
