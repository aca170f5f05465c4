"""Measures the latency of networks on this machine."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from acenas.errors import UserError
from acenas.seeds import torch_generator
from acenas.spaces.base import SearchSpace
from acenas.tables import BenchmarkTable, TableMetadata, write_table

SPREAD = "latency_iqr_ms"
"""The column of the interquartile ranges."""


@dataclass(frozen=True)
class Stopwatch:
    """Times forward passes of a network, in evaluation mode and without gradients.

    Attributes:
        device: "cpu", "cuda" or another device of torch.
        threads: threads on the CPU.
        batch_size: images of a pass.
        warmup: passes before the first that counts.
        repeats: passes that count.

    Raises:
        UserError: for a number that is too small, or a device that is not there.
    """

    device: str = "cpu"
    threads: int = 1
    batch_size: int = 1
    warmup: int = 5
    repeats: int = 30

    def __post_init__(self) -> None:
        if min(self.threads, self.batch_size, self.repeats) < 1 or self.warmup < 0:
            raise UserError("latency: threads, batch_size and repeats are at least 1, and warmup 0 or more")
        try:
            torch.zeros(1, device=self.device)
        except (RuntimeError, AssertionError) as error:
            raise UserError(f"latency: device={self.device} cannot be used ({error})") from None

    def times(self, network: nn.Module, image_shape: tuple[int, int, int]) -> list[float]:
        """Returns the milliseconds of each pass that counts; `image_shape` is `(channels, height, width)`."""
        device = torch.device(self.device)
        network = network.eval().to(device)
        generator = torch_generator(0, "latency", "images")
        images = torch.randn(self.batch_size, *image_shape, generator=generator).to(device)
        wait: Callable[[], None] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
        threads, measured = torch.get_num_threads(), []
        torch.set_num_threads(self.threads)
        try:
            with torch.inference_mode():
                for _ in range(self.warmup + self.repeats):
                    wait()
                    start = time.perf_counter()
                    network(images)
                    wait()
                    measured.append(1000 * (time.perf_counter() - start))
        finally:
            torch.set_num_threads(threads)
        return measured[self.warmup :]


def measure_latencies(
    space: SearchSpace,
    archs: Sequence[str],
    stopwatch: Stopwatch,
    image_shape: tuple[int, int, int],
    num_classes: int,
    column: str,
    out: Path,
) -> Iterator[tuple[str, float, float]]:
    """Measures the latency of those of `archs` that the table at `out` does not have yet, and adds each to it.

    Args:
        space: builds the networks.
        archs: architectures to measure.
        stopwatch: measures the time.
        image_shape: `(channels, height, width)`.
        num_classes: classes of the networks.
        column: of the median over the passes, `<dataset>.latency_ms.<device>`; beside it is `latency_iqr_ms`.
        out: file of the table.

    Yields:
        Each architecture, its median and its interquartile range in milliseconds, as soon as it is measured.

    Raises:
        UserError: where `out` was measured with other settings.
    """
    how = (
        f"python -m acenas.latency: {asdict(stopwatch)}, images {list(image_shape)}, {num_classes} classes, "
        f"torch {torch.__version__}"
    )
    rows: list[dict[str, str | float]] = []
    if out.exists():
        table = BenchmarkTable.open(out, space=space.name)
        if table.metadata.source != how or table.columns != [column, SPREAD]:
            raise UserError(
                f"{out} was measured in another way ({table.metadata.source}: {', '.join(table.columns)}); choose "
                "another out=FILE"
            )
        known = zip(table.archs, table.column(column), table.column(SPREAD), strict=True)
        rows = [{"arch": arch, column: float(ms), SPREAD: float(iqr)} for arch, ms, iqr in known]
    done = {row["arch"] for row in rows}
    for arch in archs:
        if arch in done:
            continue
        times = stopwatch.times(space.build(arch, num_classes), image_shape)
        low, median, high = np.quantile(times, [0.25, 0.5, 0.75]).tolist()
        rows.append({"arch": arch, column: median, SPREAD: high - low})
        write_table(pd.DataFrame(rows), out, TableMetadata(space=space.name, source=how))
        yield arch, median, high - low
