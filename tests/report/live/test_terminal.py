import io
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from acenas.report.live.metrics import RankingMetrics
from acenas.report.live.status import RunStatus
from acenas.report.live.terminal import RoundTable, RunProgress
from tests.report.live.example import ARCHS, KNOWN, round_result


def console(terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=80, color_system=None, _environ={})


def written(to: Console) -> str:
    assert isinstance(to.file, io.StringIO)
    return to.file.getvalue()


def test_the_table_grows_by_a_plain_line_per_round() -> None:
    out = console(terminal=False)
    metrics = RankingMetrics(ARCHS, KNOWN)
    table = RoundTable(metrics, out)
    table.on_search_start(rounds=3, budget=6, done=0)
    for round_ in range(4):
        metrics.on_round_end(round_result(round_))
        table.on_round_end(round_result(round_))
    *headers, first, second, third, fourth = written(out).splitlines()
    lines = [first, second, third, fourth]
    assert [" ".join(line.split()) for line in headers] == [
        "best observed observed",
        "observed regret of top 10",
        "round trained (%) (points) NDCG@10 Kendall (%) seconds",
    ]
    assert [line.split()[:4] for line in lines] == [
        ["0", "0", "–", "–"],
        ["1", "2", "90.00", "4.00"],
        ["2", "4", "91.00", "3.00"],
        ["3", "6", "93.00", "1.00"],
    ]
    assert {len(line.rstrip()) for line in lines} == {len(headers[-1].rstrip())} and len(headers[-1]) <= 80
    assert "\x1b" not in written(out)


def test_a_resumed_search_says_so() -> None:
    out = console(terminal=False)
    RoundTable(RankingMetrics(ARCHS, KNOWN), out).on_search_start(rounds=3, budget=6, done=2)
    assert written(out) == "Going on after round 2 of 3.\n"


def search(progress: RunProgress) -> None:
    progress.on_search_start(rounds=3, budget=6, done=1)
    for round_ in (2, 3):
        progress.on_round_start(round_, ARCHS[:2])
        progress.on_round_end(round_result(round_))
    progress.on_search_end()


def test_progress_is_told_in_the_folder_too(tmp_path: Path) -> None:
    status = RunStatus(tmp_path)
    with RunProgress(console(terminal=False), status=status) as progress:
        search(progress)
    told = {"round": 3, "rounds": 3, "trained": 6, "budget": 6, "best_observed_accuracy": 93.0, "done": 3}
    assert told.items() <= status.facts.items()
    written_first = json.loads((tmp_path / "status.json").read_text())
    assert written_first["round"] == 2, "at most once a second"


def test_without_a_terminal_progress_is_a_line_now_and_then() -> None:
    out, silent = console(terminal=False), console(terminal=False)
    with RunProgress(out, plain_interval=0.0) as progress:
        search(progress)
    first, second = written(out).splitlines()
    assert first.startswith("rounds: 2 of 3 done")
    assert second.startswith("rounds: 3 of 3 done")
    with RunProgress(silent, plain_interval=60.0) as progress:
        search(progress)
    assert written(silent) == ""


class Line(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return self.layer(batch[0]).square().mean()  # type: ignore[no-any-return]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train(progress: RunProgress) -> None:
    trainer = pl.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[progress],
    )
    trainer.fit(Line(), DataLoader(TensorDataset(torch.ones(4, 1)), batch_size=2))


def test_epochs_of_a_trainer_and_rounds_share_one_bar() -> None:
    out = console(terminal=True)
    with RunProgress(out) as progress:
        train(progress)
        search(progress)
        progress._bar.refresh()
        assert progress._bar.tasks == []
    assert "epochs" in written(out)
    assert "rounds" in written(out)
    assert written(out).count("\x1b[?25h") == 1  # the cursor is back, and was hidden once


def test_epochs_without_a_terminal_are_plain_lines() -> None:
    out = console(terminal=False)
    with RunProgress(out, plain_interval=0.0) as progress:
        train(progress)
    assert [line.split(" done")[0] for line in written(out).splitlines()] == [
        "epochs: 1 of 3",
        "epochs: 2 of 3",
        "epochs: 3 of 3",
    ]


def test_an_epoch_that_takes_long_moves_the_bar_within(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    out = console(terminal=False)
    progress = RunProgress(out, plain_interval=30.0, status=RunStatus(tmp_path))
    trainer: Any = SimpleNamespace(max_epochs=3, current_epoch=1, num_training_batches=40)
    module: Any = None
    progress.on_train_start(trainer, module)
    for batch in range(40):
        now += 2.0
        progress.on_train_batch_end(trainer, module, None, None, batch)
    facts = json.loads((tmp_path / "status.json").read_text(encoding="utf-8"))
    assert (facts["unit"], facts["done"], facts["total"]) == ("epochs", 2.0, 3.0)
    assert [line.split(" done")[0] for line in written(out).splitlines()] == [
        "epochs: 1.375 of 3", "epochs: 1.75 of 3",
    ]  # fmt: skip
