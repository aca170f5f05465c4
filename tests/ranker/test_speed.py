"""Loose bounds on speed, several times what an idle machine needs; benchmarks/ranker_speed.py measures it."""

import time
from pathlib import Path

import pytest
import torch

from acenas.ranker import Finetuning, GraphRanker, PaperEncoder, Pretraining
from acenas.spaces import NasBench201


@pytest.mark.slow
def test_a_step_of_the_papers_encoder_takes_milliseconds(tmp_path: Path) -> None:
    space = NasBench201()
    graphs = space.encode(space.sample(4000, torch.Generator().manual_seed(0)))
    ranker = GraphRanker(space, PaperEncoder, pretraining=Pretraining(epochs=1, batch_size=20))
    start = time.perf_counter()
    ranker.pretrain(graphs, torch.randn(4000, 3), folder=tmp_path)
    assert (time.perf_counter() - start) / 200 < 0.020


@pytest.mark.slow
def test_scoring_a_whole_space_takes_a_fraction_of_a_second() -> None:
    space = NasBench201()
    graphs = space.encode(space.enumerate())
    ranker = GraphRanker(space, finetuning=Finetuning(passes=1))
    ranker.finetune(graphs[:20], torch.rand(20), round=1)
    start = time.perf_counter()
    ranker.score(graphs)
    assert time.perf_counter() - start < 0.6
