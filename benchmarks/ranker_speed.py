"""How fast the rankers train and score, and how much memory that takes.

Times are of the wall clock, and mean something where the machine is otherwise idle; with `--cpu` they are of the
processor, all threads together:

    OMP_NUM_THREADS=1 python benchmarks/ranker_speed.py [--cpu]

The labels are random: speed does not depend on them.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from acenas.ranker import (
    BidirectionalEncoder,
    Encoder,
    Finetuning,
    GraphRanker,
    PaperEncoder,
    Pretraining,
    Prior,
)
from acenas.spaces import GraphBatch, NasBench201, SearchSpace

STEPS = 300


def main() -> None:
    space = NasBench201()
    graphs = space.encode(space.enumerate())
    generator = torch.Generator().manual_seed(0)
    labels = torch.randn(len(graphs), 3, generator=generator)
    observed = torch.randperm(len(graphs), generator=generator)[:100]
    accuracies = torch.rand(100, generator=generator) * 40 + 50

    print(f"{len(graphs)} cells, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for encoder in (PaperEncoder, BidirectionalEncoder):
        ranker = GraphRanker(space, encoder, pretraining=Pretraining(epochs=1))
        print(encoder.__name__)
        print(
            f"  step of 20 graphs, pretraining: {pretraining_step(space, encoder, graphs, labels, 20) * 1e3:6.2f} ms"
        )
        seconds = lambdarank_step(space, encoder, graphs[:20], accuracies[:20])
        print(f"  step of 20 graphs, LambdaRank:  {seconds * 1e3:6.2f} ms")
        with tempfile.TemporaryDirectory() as folder:
            seconds = elapsed(lambda: ranker.pretrain(graphs, labels, folder=Path(folder)))  # noqa: B023
        print(
            f"  an epoch of pretraining:        {seconds:6.2f} s (batches of {ranker.pretraining.batch_size})"
        )
        seconds = elapsed(lambda: ranker.finetune(graphs[observed], accuracies, round=1))  # noqa: B023
        print(
            f"  a finetuning on 100:            {seconds:6.2f} s ({ranker.finetuning.passes} steps with replay)"
        )
        seconds = min(elapsed(lambda: ranker.score(graphs)) for _ in range(5))  # noqa: B023
        print(f"  scoring all cells:              {seconds:6.3f} s")
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def pretraining_step(
    space: SearchSpace, encoder: type[Encoder], graphs: GraphBatch, labels: Tensor, size: int
) -> float:
    """Seconds of one step inside Lightning, of a batch of `size`."""
    few = GraphRanker(space, encoder, pretraining=Pretraining(epochs=1, batch_size=size))
    with tempfile.TemporaryDirectory() as folder:
        few.pretrain(graphs[: 10 * size], labels[: 10 * size], folder=Path(folder) / "warm")
        seconds = elapsed(
            lambda: few.pretrain(
                graphs[: STEPS * size], labels[: STEPS * size], folder=Path(folder) / "timed"
            )
        )
    return seconds / STEPS


def lambdarank_step(
    space: SearchSpace, encoder: type[Encoder], graphs: GraphBatch, accuracies: Tensor
) -> float:
    """Seconds of one step inside Lightning, of a list with LambdaRank and nothing beside it."""
    alone = Finetuning(passes=STEPS, replay_size=0)
    plain = GraphRanker(space, encoder, finetuning=alone, prior=Prior(weight=0))
    return elapsed(lambda: plain.finetune(graphs, accuracies, round=1)) / STEPS


def elapsed(work: Callable[[], object]) -> float:
    """Seconds that `work()` takes."""
    clock = time.process_time if "--cpu" in sys.argv else time.perf_counter
    start = clock()
    work()
    return clock() - start


if __name__ == "__main__":
    main()
