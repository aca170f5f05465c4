"""Measures a benchmark: trains the distinct architectures of a space from scratch and writes a table of them."""

import datetime
import json
import os
import time
from collections.abc import Sequence
from dataclasses import KW_ONLY, asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from joblib import cpu_count
from rich.console import Console
from scipy.stats import spearmanr

from acenas.errors import UserError, require_at_least
from acenas.evaluation.zero_cost import grad_norm, naswot, synflow
from acenas.executors import Lost
from acenas.executors.local import in_processes
from acenas.executors.progress import show_progress
from acenas.files import parse_json, reading
from acenas.images import ImageTask
from acenas.seeds import numpy_generator, torch_generator
from acenas.spaces.base import SearchSpace
from acenas.spaces.cost import count_cost
from acenas.tables import Provenance, TableMetadata, parse_column, write_table
from acenas.tables.schema import Accuracy
from acenas.training.lightning import one_thread
from acenas.training.network import initialised
from acenas.training.recipe import Recipe
from acenas.training.settings import check_settings, image_settings, network_settings
from acenas.training.side_by_side import train

WEAK_SEED = 1000
"""The seed of the trainings and weights for the weak labels: no observed or test accuracy comes from it."""

ROWS = "architectures.jsonl"
"""The file of the finished architectures."""


_ROW = {
    "arch": str,
    "valid": [float],
    "test": [float],
    **dict.fromkeys(
        ("train_seconds", "params_m", "flops_m", "short", "synflow", "naswot", "grad_norm"), float
    ),
}


@dataclass(eq=False)
class BenchmarkMeasurement:
    """Trains the distinct architectures of a space on images, several seeds each, in a fixed random order.

    The order depends on `order_seed` alone: the first `limit` architectures are a random part of the space, and a
    later run with a higher limit in the same folder goes on where this one ended. Every finished architecture is a
    line of `architectures.jsonl` in the folder, so a kill loses only those in training.

    The table has these columns for each canonical architecture, where `<images>` is the name of the images:

    - `<images>.valid.<epochs>.s<seed>`, `<images>.test.<epochs>.s<seed>`: accuracy of one training;
    - `<images>.observed.<epochs>`: validation accuracy of the training with the first seed alone, for searches;
    - `<images>.test.<epochs>`: test accuracy, mean over the seeds: for reports only;
    - `<images>.train_seconds.<epochs>`: CPU-seconds of one training;
    - `<images>.params_m`, `<images>.flops_m`: see `Cost`;
    - `weak.short`: validation accuracy after a training of `short_epochs`, with a seed of its own;
    - `weak.synflow`, `weak.naswot`, `weak.grad_norm`: see `zero_cost`, on training images.

    Attributes:
        space: of the architectures.
        images: to train and measure on.
        recipe: how to train.
        seeds: of the trainings of each architecture.
        limit: number of architectures to measure; None for all of a space that can be listed.
        jobs: processes, each of one thread; None for one per core.
        short_epochs: of the training for `weak.short`.
        order_seed: of the order of the architectures.
        table_name: the table's file is `<table_name>.parquet`; None for the names of the space and the images.
        source: how the table was made, for its metadata.
        licence: of the images, for its metadata.

    Raises:
        UserError: where an argument makes no sense.
    """

    space: SearchSpace
    images: ImageTask
    recipe: Recipe
    _: KW_ONLY
    seeds: Sequence[int] = (0, 1)
    limit: int | None = None
    jobs: int | None = None
    short_epochs: int = 1
    order_seed: int = 0
    table_name: str | None = None
    source: str = "measured by acenas"
    licence: str = ""

    def __post_init__(self) -> None:
        self.seeds = tuple(int(seed) for seed in self.seeds)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or WEAK_SEED in self.seeds:
            raise UserError(f"seeds must be different from one another and from {WEAK_SEED}: {self.seeds}")
        limits = {"jobs": self.jobs, "short_epochs": self.short_epochs, "limit": self.limit}
        require_at_least(1, "measurement: ", **limits)
        self.table_name = self.table_name or f"{self.space.name}_{self.images.source.name}"

    def run(self, folder: str | Path) -> Path:
        """Measures what `folder` does not hold yet, writes the table and returns its file.

        Raises:
            UserError: where `folder` holds a measurement with other settings.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        check_settings(folder / "measurement.json", self._settings())
        self.space.check_images(self.images.splits.num_classes, self.images.splits.image_shape)
        archs = self.architectures()
        done = self._finished(folder)
        missing = [arch for arch in archs if arch not in done]
        alone = ((arch, self.measure_one(arch)) for arch in missing)
        pieces = ((arch, partial(self.measure_one, arch)) for arch in missing)
        rows = alone if self.jobs == 1 else in_processes(pieces, self.jobs or cpu_count())
        finished = len(archs) - len(missing)
        with (folder / ROWS).open("a", encoding="utf-8") as lines:
            for arch, row in show_progress(rows, len(archs), finished, Console(stderr=True), "measured"):
                if isinstance(row, Lost):
                    raise UserError(
                        f"measurement: the process of {arch} was killed ({row.why}), for want of memory perhaps; the "
                        "same command goes on, with fewer measurement.jobs"
                    )
                lines.write(json.dumps(row) + "\n")
                lines.flush()
        return self.write_table(folder)

    def write_table(self, folder: str | Path) -> Path:
        """Writes the table of the architectures that `folder` holds, `limit` at most. Raises `UserError` for none."""
        folder = Path(folder)
        done = self._finished(folder)
        rows = [done[arch] for arch in self.architectures() if arch in done]
        if not rows:
            raise UserError(f"{folder} holds no measured architecture yet; run the measurement first")
        frame, path = self._frame(rows), folder / f"{self.table_name}.parquet"
        write_table(frame, path, self._metadata(frame))
        return path

    def architectures(self) -> list[str]:
        """Returns the canonical architectures in the order in which they are measured, `limit` at most.

        Raises:
            UserError: where `limit` is None, or more than there are, and the space cannot be listed.
        """
        distinct = self._distinct
        if distinct is not None:
            order = numpy_generator(self.order_seed, "measure", "order").permutation(len(distinct))
            return [distinct[i] for i in order[: self.limit]]
        name = self.space.name
        if self.limit is None:
            raise UserError(f"measurement: {name} is too large to measure all of it; set measurement.limit")
        generator, drawn = torch_generator(self.order_seed, "measure", "order"), dict[str, None]()
        for _ in range(100 * self.limit):  # one by one, so that a higher limit begins with the same
            drawn[self.space.canonical(self.space.sample(1, generator)[0])] = None
            if len(drawn) == self.limit:
                return list(drawn)
        raise UserError(f"measurement: {name} has fewer than {self.limit} distinct architectures")

    @cached_property
    def _distinct(self) -> list[str] | None:
        """All canonical architectures; None where they are too many to list."""
        try:
            return sorted(set(self.space.canonical_all(self.space.enumerate())))
        except NotImplementedError:
            return None

    # --- one architecture ---

    def measure_one(self, arch: str) -> dict[str, Any]:
        """Returns all that the table says about `arch`, measured on one thread."""

        def build() -> torch.nn.Module:
            return self.space.build(arch, splits.num_classes)

        splits = self.images.splits
        with one_thread():
            start = time.process_time()
            accuracies = train(build, self.recipe, self.images, self.seeds)
            seconds = (time.process_time() - start) / len(self.seeds)
            (short,) = train(build, self.recipe.over(self.short_epochs), self.images, [WEAK_SEED])
            fresh = initialised(build, WEAK_SEED)
            first = next(iter(splits.train.batches([torch.arange(min(64, len(splits.train.labels)))])))
            inputs, labels = splits.normalise(first.images), first.labels
            cost = count_cost(fresh, splits.image_shape)
            return {
                "arch": arch,
                "valid": [accuracy.valid for accuracy in accuracies],
                "test": [accuracy.test for accuracy in accuracies],
                "train_seconds": round(seconds, 3),
                "params_m": cost.params_m,
                "flops_m": cost.flops_m,
                "short": short.valid,
                "synflow": synflow(fresh, splits.image_shape),
                "naswot": naswot(fresh, inputs),
                "grad_norm": grad_norm(fresh, inputs, labels),
            }

    # --- files ---

    def _settings(self) -> dict[str, Any]:
        """Returns all that the results depend on; `limit` and `jobs` may change from run to run."""
        return {
            **network_settings(self.space, self.images.splits.num_classes),
            "recipe": asdict(self.recipe),
            "seeds": list(self.seeds),
            "short_epochs": self.short_epochs,
            "images": image_settings(self.images),
            "order_seed": self.order_seed,
        }

    def _finished(self, folder: Path) -> dict[str, dict[str, Any]]:
        """Returns the rows in `folder` by architecture. Removes a last line that a kill has cut off."""
        path = folder / ROWS
        content = path.read_bytes() if path.exists() else b""
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)
        rows = {}
        for number, line in enumerate(content[:whole].splitlines(), start=1):
            with reading(f"{path}, line {number}", "remove it to measure its architecture again"):
                row = parse_json(line, _ROW)
            rows[row["arch"]] = row
        return rows

    def _frame(self, rows: list[dict[str, Any]]) -> pd.DataFrame:
        name, epochs = self.images.source.name, self.recipe.epochs
        columns: dict[str, Any] = {"arch": [row["arch"] for row in rows]}
        for split in ("valid", "test"):
            for i, seed in enumerate(self.seeds):
                columns[f"{name}.{split}.{epochs}.s{seed}"] = [row[split][i] for row in rows]
        columns[f"{name}.observed.{epochs}"] = [row["valid"][0] for row in rows]
        columns[f"{name}.test.{epochs}"] = [float(np.mean(row["test"])) for row in rows]
        columns[f"{name}.train_seconds.{epochs}"] = [row["train_seconds"] for row in rows]
        columns |= {f"{name}.{cost}": [row[cost] for row in rows] for cost in ("params_m", "flops_m")}
        labels = ("short", "synflow", "naswot", "grad_norm")
        return pd.DataFrame(columns | {f"weak.{label}": [row[label] for row in rows] for label in labels})

    def _metadata(self, frame: pd.DataFrame) -> TableMetadata:
        name, epochs, short = self.images.source.name, self.recipe.epochs, self.short_epochs
        cpu_seconds = frame[f"{name}.train_seconds.{epochs}"]
        duration = f"{cpu_seconds.mean():.2f} CPU-seconds a training"
        trained, fresh = f"networks trained for {epochs} epochs", f"fresh weights of seed {WEAK_SEED}"
        batch, passes = f"64 training {name}", "one forward and backward pass"
        accuracies = [str(column) for column in frame if isinstance(parse_column(str(column)), Accuracy)]
        there = "too many to list" if self._distinct is None else f"the {len(self._distinct)}"
        agreement = ""
        if len(self.seeds) > 1 and len(frame) > 1:
            pair = [frame[f"{name}.valid.{epochs}.s{seed}"] for seed in self.seeds[:2]]
            agreement = f" Spearman of the first two seeds on validation images: {spearmanr(*pair)[0]:.3f}."
        return TableMetadata(
            space=self.space.name,
            source=self.source,
            licence=self.licence,
            date=datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
            provenance=(
                f"{len(frame)} of {there} distinct architectures, drawn at random, trained from scratch on {name} with "
                f"seeds {', '.join(map(str, self.seeds))} and {self.recipe}, training images "
                f"changed by {self.images.augmentation}, others evaluated {self.images.draws} times with "
                f"{self.images.evaluation}. "
                f"{cpu_seconds.sum() * len(self.seeds):.0f} CPU-seconds in all, {duration}.{agreement}"
            ),
            columns={
                **{
                    column: Provenance(
                        f"{'test' if '.test.' in column else 'validation'} {name}", trained, duration
                    )
                    for column in accuracies
                },
                "weak.short": Provenance(
                    f"validation {name}",
                    f"training of {short} epochs, seed {WEAK_SEED}",
                    f"{short} of the {epochs} epochs of a training",
                ),
                "weak.synflow": Provenance("one image of ones", fresh, passes),
                "weak.naswot": Provenance(batch, fresh, "one forward pass"),
                "weak.grad_norm": Provenance(batch, fresh, passes),
            },
        )
