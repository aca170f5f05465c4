import builtins
import os
import runpy
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

import acenas.training.lightning
from acenas.errors import UserError
from acenas.training.lightning import EpochCheckpoint, fit, quiet, resumable


def test_rankers_can_use_it_without_images_and_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    imported, really = [], builtins.__import__

    def noted(name: str, *rest: Any) -> ModuleType:
        imported.append(name)
        return really(name, *rest)

    monkeypatch.setattr(builtins, "__import__", noted)
    for module in (acenas.training, acenas.training.lightning):
        runpy.run_path(str(module.__file__))
    assert "pytorch_lightning" in imported
    assert {name for name in imported if name.startswith("acenas")} <= {
        "acenas.errors",
        "acenas.files",
        "acenas.lazy",
    }


@pytest.mark.parametrize(("seconds", "written"), [(0.0, [0, 1, 2]), (3600.0, [2])])
def test_a_checkpoint_is_written_after_each_epoch_or_so_many_seconds(
    tmp_path: Path, seconds: float, written: list[int]
) -> None:
    class Trainer(pl.Trainer):
        current_epoch = 0

        def save_checkpoint(self, filepath: object, *_: object, **__: object) -> None:
            epochs.append(self.current_epoch)
            Path(str(filepath)).touch()

    epochs: list[int] = []
    checkpoint = EpochCheckpoint(tmp_path / "last.ckpt", seconds)
    trainer = Trainer(max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False)
    for trainer.current_epoch in range(3):
        checkpoint.on_train_epoch_end(trainer, pl.LightningModule())
    assert epochs == written and [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_an_interrupt_stays_one() -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), quiet():
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:  # as Lightning ends
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            sys.exit(1)
    assert signal.getsignal(signal.SIGINT) is handler
    with pytest.raises(SystemExit), quiet():
        sys.exit(1)


class EndedAt(pl.LightningModule):
    """A training of two steps; its process is told to end in one of them."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step, self.layer = step, torch.nn.Linear(1, 1)

    def training_step(self, batch: list[torch.Tensor], step: int) -> torch.Tensor:
        if step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)
        loss: torch.Tensor = self.layer(batch[0]).sum()
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("step", [0, 1])
def test_a_process_that_is_told_to_end_does(step: int) -> None:
    """Lightning would exit with status 0, or go on after the last step."""
    if (process := os.fork()) == 0:
        try:
            fit(
                EndedAt(step),
                DataLoader(TensorDataset(torch.ones(2, 1))),
                None,
                max_epochs=1,
            )
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGTERM


@pytest.mark.parametrize("content", ["nothing", "cut", "other", "code"])
def test_a_checkpoint_that_cannot_be_read_is_one_sentence(tmp_path: Path, content: str) -> None:
    module, path = pl.LightningModule(), tmp_path / "training.ckpt"
    module.layer = torch.nn.Linear(2, 2)
    assert resumable(path, module) is None
    whole = {
        "state_dict": module.state_dict(), "loops": {}, "epoch": 1, "optimizer_states": [], "lr_schedulers": []
    }  # fmt: skip
    torch.save(whole, path)
    assert resumable(path, module) == path
    if content == "cut":
        os.truncate(path, path.stat().st_size // 2)
    else:
        other = {"nothing": {}, "other": whole | {"state_dict": {}}, "code": Path("a class")}
        torch.save(other[content], path)
    with pytest.raises(
        UserError, match=r"training.ckpt is damaged, .*; remove it to begin this training again"
    ):
        resumable(path, module)
