"""How fast the rankers, a search and the command are, against what stands beside them in the same run.

    OMP_NUM_THREADS=1 python -m benchmarks.ranker_speed [--cpu] [PART ...]

Prints a Markdown table of ratios with the absolute numbers beside them. Parts are `steps`, `scoring`, `command` and
`search`; all by default, which takes minutes. Times are of the wall clock, and mean something where the machine is
otherwise idle; with `--cpu` they are of the processor, all threads together.

The authors' code is stood in for by `UsualEncoder`: the paper's encoder on torch-geometric's sparse layers, trained by
a loop as a user would write it. The labels of steps are random: speed does not depend on them.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GCNConv, SortAggregation

from acenas.ranker import (
    BidirectionalEncoder,
    Encoder,
    Finetuning,
    GraphRanker,
    PaperEncoder,
    Pretraining,
    Prior,
)
from acenas.spaces import GraphBatch, NasBench101, NasBench201

STEPS, SIZE, LABELS = 300, 20, 3
SPACE = NasBench201()
IMPORTS = "import torch, pytorch_lightning"
CPU = False


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("parts", nargs="*", default=["steps", "scoring", "command", "search"])
    options = parser.parse_args()
    global CPU
    CPU = options.cpu
    kind = "of the processor" if CPU else "of the wall clock"
    print(f"Seconds {kind}, {torch.get_num_threads()} threads, torch {torch.__version__}.\n")
    print("| what | beside it | here | ratio |\n|---|---|---|---|")
    for part in options.parts:
        globals()[part]()


def row(what: str, beside: float, here: float, unit: str = "s", turned: bool = False) -> None:
    """Prints a row; the ratio is how many times as fast it is here, or turned, how many times as much it takes."""
    ratio = here / beside if turned else beside / here
    print(f"| {what} | {beside:.3g} {unit} | {here:.3g} {unit} | {ratio:.2f} |", flush=True)


# --- steps and scores of the ranker ---


def steps() -> None:
    """A step of 20 graphs: of the usual loop, of the paper's encoder and of the default one, inside Lightning."""
    graphs, labels, accuracies = examples()
    data = graphs[: STEPS * SIZE].to_pyg().to_data_list()
    usual = usual_pretraining(data, labels) / STEPS * 1e3
    ranked = usual_lambdarank(data[:SIZE], accuracies[:SIZE]) / STEPS * 1e3
    for encoder in (PaperEncoder, BidirectionalEncoder):
        name = encoder.__name__
        row(f"training step, {name}", usual, pretraining_step(encoder, graphs, labels) * 1e3, "ms")
        row(f"LambdaRank step, {name}", ranked, lambdarank_step(encoder, graphs, accuracies) * 1e3, "ms")


def scoring() -> None:
    """All cells of NAS-Bench-201 on one thread, and of NAS-Bench-101."""
    torch.set_num_threads(1)
    graphs, _, accuracies = examples()
    data = graphs.to_pyg().to_data_list()
    usual = UsualEncoder().eval()

    @torch.inference_mode()
    def score() -> None:
        for batch in DataLoader(data, batch_size=512):
            usual(batch)

    beside = elapsed(score)
    for encoder in (PaperEncoder, BidirectionalEncoder):
        ranker = GraphRanker(SPACE, encoder, finetuning=Finetuning(passes=1))
        ranker.finetune(graphs[:SIZE], accuracies[:SIZE], round=1)
        here = min(elapsed(partial(ranker.score, graphs)) for _ in range(5))
        row(f"scoring {len(graphs):,} cells, one thread, {encoder.__name__}", beside, here)
    space = NasBench101()
    graphs = space.encode(space.enumerate())
    ranker = GraphRanker(space, finetuning=Finetuning(passes=1))
    ranker.finetune(graphs[:SIZE], accuracies[:SIZE], round=1)
    here, limit = (
        min(elapsed(partial(ranker.score, graphs)) for _ in range(3)),
        flops(ranker, graphs) / peak(),
    )
    row(
        f"scoring {len(graphs):,} cells of NAS-Bench-101, one thread; beside it what its products take",
        limit,
        here,
    )


def examples() -> tuple[GraphBatch, Tensor, Tensor]:
    """All cells, random labels `[A, L]` and accuracies `[100]`."""
    graphs, generator = SPACE.encode(SPACE.enumerate()), torch.Generator().manual_seed(0)
    graphs = graphs[torch.randperm(len(graphs), generator=generator)]
    labels = torch.randn(len(graphs), LABELS, generator=generator)
    return graphs, labels, torch.rand(100, generator=generator) * 40 + 50


class UsualEncoder(nn.Module):
    """The paper's encoder with a head for each label and one for the ranking: sparse graphs, layers from the shelf."""

    def __init__(self, hidden: int = 64, layers: int = 4, pooled: int = 10) -> None:
        super().__init__()
        channels = [SPACE.num_node_types, *[hidden] * layers]
        self.convs = nn.ModuleList(GCNConv(*pair) for pair in itertools.pairwise(channels))
        self.pool = SortAggregation(pooled)
        self.conv1 = nn.Conv1d(1, hidden // 2, hidden, hidden)
        self.conv2 = nn.Conv1d(hidden // 2, hidden, 5)
        self.fuse = nn.Linear((pooled // 2 - 4) * hidden, 128)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 1)) for _ in range(LABELS + 1)
        )

    def forward(self, batch: Batch) -> Tensor:
        """`[B, LABELS + 1]`."""
        hidden = F.one_hot(batch.x, SPACE.num_node_types).float()
        for conv in self.convs:
            hidden = conv(hidden, batch.edge_index).relu()
        pooled = self.conv1(self.pool(hidden, batch.batch).unsqueeze(1)).relu()
        windows = self.conv2(F.max_pool1d(pooled, 2)).relu()
        encoded = self.fuse(windows.flatten(1))
        return torch.cat([head(encoded) for head in self.heads], dim=1)


def usual_pretraining(data: list[Data], labels: Tensor) -> float:
    """Seconds of `STEPS` steps on weak labels."""
    for each, its in zip(data, labels, strict=False):
        each.y = its.unsqueeze(0)
    network = UsualEncoder()
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)

    def train() -> None:
        for batch in DataLoader(data, batch_size=SIZE, shuffle=True):
            optimizer.zero_grad()
            F.mse_loss(network(batch)[:, :LABELS], batch.y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return elapsed(train)


def usual_lambdarank(data: list[Data], accuracies: Tensor) -> float:
    """Seconds of `STEPS` steps on one list."""
    network = UsualEncoder()
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    gains = 2 ** (20 * (accuracies - accuracies.min()) / (accuracies.max() - accuracies.min())) - 1
    ideal = (gains.sort(descending=True).values / torch.arange(2, len(gains) + 2).log2()).sum()

    def train() -> None:
        for _ in range(STEPS):
            scores = network(Batch.from_data_list(data))[:, -1]
            discounts = 1 / (scores.argsort(descending=True).argsort() + 2).log2()
            swaps = (gains[:, None] - gains) * (discounts[:, None] - discounts)
            pairs = F.softplus(scores - scores[:, None]) * swaps.abs() / ideal
            loss = pairs[accuracies[:, None] > accuracies].sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return elapsed(train)


def pretraining_step(encoder: type[Encoder], graphs: GraphBatch, labels: Tensor) -> float:
    """Seconds of one step on weak labels inside Lightning."""
    few = GraphRanker(SPACE, encoder, pretraining=Pretraining(epochs=1, batch_size=SIZE))
    with tempfile.TemporaryDirectory() as folder:
        warm, timed = Path(folder, "warm"), Path(folder, "timed")
        few.pretrain(graphs[: 10 * SIZE], labels[: 10 * SIZE], folder=warm)
        part = graphs[: STEPS * SIZE], labels[: STEPS * SIZE]
        return elapsed(lambda: few.pretrain(*part, folder=timed)) / STEPS


def lambdarank_step(encoder: type[Encoder], graphs: GraphBatch, accuracies: Tensor) -> float:
    """Seconds of one step inside Lightning, of a list with LambdaRank and nothing beside it."""
    alone = Finetuning(passes=STEPS, replay_size=0)
    plain = GraphRanker(SPACE, encoder, finetuning=alone, prior=Prior(weight=0))
    return elapsed(lambda: plain.finetune(graphs[:SIZE], accuracies[:SIZE], round=1)) / STEPS


def flops(ranker: GraphRanker, graphs: GraphBatch) -> float:
    """Multiplications and additions of the products of scoring."""
    from torch.utils.flop_counter import FlopCounterMode

    some = graphs[:: len(graphs) // 4096]
    with FlopCounterMode(display=False) as counter:
        ranker.score(some)
    return float(counter.get_total_flops() * len(graphs) / len(some))


def peak() -> float:
    """Multiplications and additions a second of large products on one thread, measured."""
    square, times = torch.rand(1024, 1024), 20
    seconds = min(elapsed(lambda: [square @ square for _ in range(times)]) for _ in range(3))
    return times * 2 * 1024**3 / seconds


# --- the command ---


def command() -> None:
    """A debug run and the main job against the import of what they are made with: seconds and peak memory."""
    imports, memory = process("-c", IMPORTS)
    for experiment, budget in (("debug", 12), ("nb201_ltr", 100)):
        with tempfile.TemporaryDirectory() as root:
            seconds, most = process(
                "-m", "acenas", f"experiment={experiment}", f"search.budget={budget}", f"output_root={root}"
            )
        row(
            f"`experiment={experiment}`, budget {budget}; beside it `{IMPORTS}`",
            imports,
            seconds,
            turned=True,
        )
    row("peak memory of the latter", memory, most, "MB", turned=True)


def process(*arguments: str) -> tuple[float, float]:
    """Seconds and peak MB of a Python of its own."""
    code = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
    code += "used = resource.getrusage(resource.RUSAGE_CHILDREN); "
    code += "print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3)"
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, sys.executable, *arguments], capture_output=True, text=True, check=True
    )
    wall = time.perf_counter() - start
    cpu, memory = map(float, done.stdout.split())
    return cpu if CPU else wall, memory


# --- a search ---


def search() -> None:
    """100 trainings of the table, without the imports and the report: the default ranker against a random forest."""
    forest, ace = search_seconds("random_forest"), search_seconds("ace")
    row("search of 100 trainings; beside it a random forest", forest, ace, turned=True)


def search_seconds(ranker: str) -> float:
    """Seconds of the processor, whatever is asked for: a search waits for the disk, too."""
    with tempfile.TemporaryDirectory() as root:
        given = [f"ranker={ranker}", "search.budget=100", f"output_root={root}", "logger.mode=disabled"]
        process("-m", "acenas", "experiment=nb201_ltr", *given)
        (summary,) = Path(root).glob("*/*/summary.json")
        seconds = json.loads(summary.read_text())["cpu_seconds"]
    return float(seconds["pretrain"] + seconds["search"])


def elapsed(work: Callable[[], object]) -> float:
    """Seconds that `work()` takes."""
    clock = time.process_time if CPU else time.perf_counter
    start = clock()
    work()
    return clock() - start


if __name__ == "__main__":
    main()
