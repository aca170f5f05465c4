"""Scores a million networks of the mobile space under a limit with the default encoder: seconds and memory.

Run from the repository: `python benchmarks/large_space.py [NETWORKS] [THREADS]`. It prints a Markdown table.
"""

import resource
import sys
import time

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from acenas.evaluation.costs import CountedCosts
from acenas.ranker import GraphRanker
from acenas.run.config import conf_dir
from acenas.search.costs import Costs

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
THREADS = int(sys.argv[2]) if len(sys.argv) > 2 else 2
CHUNK = 32_768


def main() -> None:
    torch.set_num_threads(THREADS)
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        cfg = compose("config", ["experiment=mobilenet_ltr", "weak_labels=[]"])
    space = instantiate(cfg.space)
    limit = Costs({"flops_m": 600.0}, [CountedCosts(space, 1000, (3, 224, 224), "flops_m")])
    ranker: GraphRanker = instantiate(cfg.ranker, space)
    some = space.sample(30, torch.Generator().manual_seed(1))
    ranker.finetune(space.encode(some), torch.linspace(70, 75, 30), round=1)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = dict.fromkeys(("drawn", "in canonical form", "costs counted", "encoded", "scored"), (0.0, 0.0))
    generator, scores = torch.Generator().manual_seed(0), []
    clock = [time.perf_counter(), time.process_time()]

    def lap(stage: str) -> None:
        now = [time.perf_counter(), time.process_time()]
        wall, cpu = (new - old for new, old in zip(now, clock, strict=True))
        seconds[stage] = (seconds[stage][0] + wall, seconds[stage][1] + cpu)
        clock[:] = now

    for start in range(0, COUNT, CHUNK):
        archs = space.sample(min(CHUNK, COUNT - start), generator)
        lap("drawn")
        archs = space.canonical_all(archs)
        lap("in canonical form")
        kept = limit.within(archs)
        lap("costs counted")
        graphs = space.encode(archs)
        lap("encoded")
        scores.append(np.where(kept, ranker.score(graphs).numpy(), -np.inf))
        lap("scored")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"| {COUNT:,} networks, {THREADS} threads | seconds | processor seconds |\n|---|---|---|")
    for stage, (wall, cpu) in seconds.items():
        print(f"| {stage} | {wall:.1f} | {cpu:.1f} |")
    walls, cpus = zip(*seconds.values(), strict=True)
    print(f"| all | {sum(walls):.1f} | {sum(cpus):.1f} |")
    print(f"\nMemory at most {peak / 1e6:.2f} GB, of which {base / 1e6:.2f} GB before the first network.")
    print(f"{np.isfinite(np.concatenate(scores)).mean():.1%} kept the limit of {limit}.")


if __name__ == "__main__":
    main()
