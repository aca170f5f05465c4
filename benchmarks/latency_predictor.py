"""How well a latency is predicted from few measured cells: NAS-Bench-201, whose table has measured latencies.

Run from the repository: `python benchmarks/latency_predictor.py`, with ACENAS_DATA set. It prints a Markdown table.
"""

import numpy as np

from acenas.evaluation.costs import LatencyPredictor
from acenas.spaces import NasBench201
from acenas.tables import BenchmarkTable, find_table


def main() -> None:
    space = NasBench201()
    table = BenchmarkTable.open(find_table("nb201"))
    canonical = space.canonical_all(table.archs)
    cells = [i for i, arch in enumerate(table.archs) if arch == canonical[i]]
    order = np.random.default_rng(0).permutation(cells).tolist()
    print("| device | cells measured | error by cross-validation | error on 3,000 others | Kendall |")
    print("|---|---|---|---|---|")
    for device in ("pixel3", "raspi4", "edgegpu", "fpga"):
        latencies = table.column(f"cifar10.latency_ms.{device}")
        for count in (100, 500):
            measured, others = order[:count], order[count : count + 3000]
            archs = [table.archs[i] for i in measured]
            predictor = LatencyPredictor(space, archs, latencies[measured], f"latency_ms.{device}")
            predicted = predictor.values([table.archs[i] for i in others])
            gap = np.abs(predicted - latencies[others])
            error, percent = predictor.error, 100 * (gap / latencies[others]).mean()
            print(
                f"| {device} | {count} | {error.milliseconds:.3g} ms ({error.percent:.1f} %) "
                f"| {gap.mean():.3g} ms ({percent:.1f} %) | {error.kendall:.3f} |"
            )


if __name__ == "__main__":
    main()
