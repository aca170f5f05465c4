"""Measures a benchmark: trains the distinct architectures of a space from scratch and writes them into a table."""

import datetime
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, cpu_count, delayed
from rich.console import Console
from scipy.stats import spearmanr

from acenas.errors import UserError
from acenas.evaluation.zero_cost import grad_norm, naswot, synflow
from acenas.executors.progress import show_progress
from acenas.images import ImageTask
from acenas.seeds import numpy_generator
from acenas.spaces.base import SearchSpace
from acenas.spaces.cost import count_cost
from acenas.tables import Provenance, TableMetadata, parse_column, write_table
from acenas.tables.schema import Accuracy
from acenas.training.lightning import one_thread
from acenas.training.network import initialised
from acenas.training.recipe import Recipe
from acenas.training.settings import check_settings, image_settings
from acenas.training.side_by_side import train

WEAK_SEED = 1000
"""Of the trainings and weights behind the weak labels: none that an observed or a test accuracy comes from."""


class BenchmarkMeasurement:
    """Trains the distinct architectures of a space on images, several seeds each, in a fixed random order.

    The order is that of `order_seed` alone: the first `limit` architectures are a random part of the space, and a
    later run with a higher limit in the same folder goes on where this one ended. Every finished architecture is a
    line of `cells.jsonl` in the folder, so a kill loses only those in training, and it leaves no trace in the table.

    The table has, for each canonical architecture, where the images are the digits:

    - `digits.valid.<epochs>.s<seed>`, `digits.test.<epochs>.s<seed>`: of one training each;
    - `digits.observed.<epochs>`: on the validation images, of the training with the first seed alone: what a search
      may see;
    - `digits.test.<epochs>`: on the test images, mean over the seeds: for reports only;
    - `digits.train_seconds.<epochs>`: CPU-seconds of one training;
    - `digits.params_m`, `digits.flops_m`: as `Cost`;
    - `weak.short`: on the validation images after a training of `short_epochs`, with a seed of its own;
    - `weak.synflow`, `weak.naswot`, `weak.grad_norm`: see `zero_cost`, on training images.

    Args:
        space: a finite space whose networks take these images.
        images: to train and measure on.
        recipe: how to train.
        seeds: of the trainings of each architecture.
        limit: architectures to measure; None for all of the space.
        jobs: processes, each of one thread; None for one per core.
        short_epochs: epochs behind `weak.short`.
        order_seed: of the order of the architectures.
        table_name: the table's file is `<table_name>.parquet`.
        licence: of the images, as the table will say.

    Raises:
        UserError: where an argument makes no sense.
    """

    def __init__(
        self,
        space: SearchSpace,
        images: ImageTask,
        recipe: Recipe,
        *,
        seeds: tuple[int, ...] = (0, 1),
        limit: int | None = None,
        jobs: int | None = 1,
        short_epochs: int = 1,
        order_seed: int = 0,
        table_name: str = "nb201_digits",
        licence: str = "",
    ) -> None:
        self.seeds = tuple(int(seed) for seed in seeds)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or WEAK_SEED in self.seeds:
            raise UserError(f"seeds must be different from one another and from {WEAK_SEED}: {self.seeds}")
        for name, value in {"jobs": jobs, "short_epochs": short_epochs, "limit": limit}.items():
            if value is not None and value < 1:
                raise UserError(f"{name} must be at least 1, not {value}")
        self.space = space
        self.images = images
        self.recipe = recipe
        self.limit = limit
        self.jobs = cpu_count() if jobs is None else jobs
        self.short_epochs = short_epochs
        self.order_seed = order_seed
        self.table_name = table_name
        self.licence = licence

    def run(self, folder: str | Path) -> Path:
        """Measures what `folder` does not hold yet and writes the table.

        Returns:
            The table's file.

        Raises:
            UserError: where `folder` holds a measurement that was made in another way.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        check_settings(folder / "measurement.json", self._settings())
        archs = self.architectures()
        done = self._finished(folder)
        missing = [arch for arch in archs if arch not in done]
        with (folder / "cells.jsonl").open("a", encoding="utf-8") as lines:
            rows, console = self._measure(missing), Console(stderr=True)
            for row in show_progress(rows, len(archs), len(archs) - len(missing), console, "measured"):
                lines.write(json.dumps(row) + "\n")
                lines.flush()
        return self.write_table(folder)

    def write_table(self, folder: str | Path) -> Path:
        """Writes the table of the architectures that `folder` holds by now, of `limit` at most.

        Raises:
            UserError: where there are none.
        """
        folder = Path(folder)
        done = self._finished(folder)
        rows = [done[arch] for arch in self.architectures() if arch in done]
        if not rows:
            raise UserError(f"{folder} holds no measured architecture yet; run the measurement first")
        frame = self._frame(rows)
        path = folder / f"{self.table_name}.parquet"
        write_table(frame, path, self._metadata(frame))
        return path

    def architectures(self) -> list[str]:
        """The canonical architectures in the order in which they are measured, `limit` at most."""
        distinct = self._distinct
        order = numpy_generator(self.order_seed, "measure", "order").permutation(len(distinct))
        return [distinct[i] for i in order[: self.limit]]

    @cached_property
    def _distinct(self) -> list[str]:
        return sorted({self.space.canonical(arch) for arch in self.space.enumerate()})

    # --- one architecture ---

    def _measure(self, archs: list[str]) -> Iterator[dict[str, Any]]:
        tasks = (delayed(self.measure_one)(arch) for arch in archs)
        # Else joblib takes threads inside processes of its own, and they share torch's random numbers.
        parallel = Parallel(self.jobs, "loky", return_as="generator_unordered", pre_dispatch="2 * n_jobs")
        yield from parallel(tasks)

    def measure_one(self, arch: str) -> dict[str, Any]:
        """Everything the table says about `arch`, measured on one thread."""

        def build() -> torch.nn.Module:
            return self.space.build(arch, splits.num_classes)

        splits = self.images.splits
        with one_thread():
            start = time.process_time()
            accuracies = train(build, self.recipe, self.images, self.seeds)
            seconds = (time.process_time() - start) / len(self.seeds)
            (short,) = train(build, self.recipe.over(self.short_epochs), self.images, [WEAK_SEED])
            fresh = initialised(build, WEAK_SEED)
            inputs, labels = splits.normalise(splits.train.images[:64]), splits.train.labels[:64]
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
        """Returns all that the figures depend on; `limit` and `jobs` may change from run to run."""
        example = self.space.build(self.space.enumerate()[0], self.images.splits.num_classes)
        return {
            "space": self.space.name,
            "network": str(example),
            "recipe": asdict(self.recipe),
            "seeds": list(self.seeds),
            "short_epochs": self.short_epochs,
            "images": image_settings(self.images),
            "order_seed": self.order_seed,
        }

    def _finished(self, folder: Path) -> dict[str, dict[str, Any]]:
        """The rows in `folder` by architecture. Removes a last line that a kill has cut off."""
        path = folder / "cells.jsonl"
        if not path.exists():
            return {}
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)
        rows = [json.loads(line) for line in content[:whole].splitlines()]
        return {row["arch"]: row for row in rows}

    def _frame(self, rows: list[dict[str, Any]]) -> pd.DataFrame:
        name, epochs = self.images.source.name, self.recipe.epochs
        columns: dict[str, Any] = {"arch": [row["arch"] for row in rows]}
        for split in ("valid", "test"):
            for i, seed in enumerate(self.seeds):
                columns[f"{name}.{split}.{epochs}.s{seed}"] = [row[split][i] for row in rows]
        columns[f"{name}.observed.{epochs}"] = [row["valid"][0] for row in rows]
        columns[f"{name}.test.{epochs}"] = [float(np.mean(row["test"])) for row in rows]
        columns[f"{name}.train_seconds.{epochs}"] = [row["train_seconds"] for row in rows]
        for cost in ("params_m", "flops_m"):
            columns[f"{name}.{cost}"] = [row[cost] for row in rows]
        for label in ("short", "synflow", "naswot", "grad_norm"):
            columns[f"weak.{label}"] = [row[label] for row in rows]
        return pd.DataFrame(columns)

    def _metadata(self, frame: pd.DataFrame) -> TableMetadata:
        name, epochs = self.images.source.name, self.recipe.epochs
        columns = [str(column) for column in frame.columns]
        trained = f"networks trained for {epochs} epochs"
        cpu_seconds = frame[f"{name}.train_seconds.{epochs}"]
        duration = f"{cpu_seconds.mean():.2f} CPU-seconds a training"
        fresh = f"fresh weights of seed {WEAK_SEED}"
        agreement = ""
        if len(self.seeds) > 1 and len(frame) > 1:
            pair = [frame[f"{name}.valid.{epochs}.s{seed}"] for seed in self.seeds[:2]]
            agreement = f" Spearman of the first two seeds on validation images: {spearmanr(*pair)[0]:.3f}."
        return TableMetadata(
            space=self.space.name,
            source="measured by acenas: python -m acenas experiment=measure_nb201_digits",
            licence=self.licence,
            date=datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
            provenance=(
                f"{len(frame)} of the {len(self._distinct)} distinct architectures, drawn at random, trained from "
                f"scratch on {name} with seeds {', '.join(map(str, self.seeds))} and {self.recipe}, training images "
                f"changed by {self.images.augmentation}, others evaluated {self.images.draws} times with "
                f"{self.images.evaluation}. "
                f"{cpu_seconds.sum() * len(self.seeds):.0f} CPU-seconds in all, {duration}.{agreement}"
            ),
            columns={
                **{
                    column: Provenance(
                        f"test {name}" if ".test." in column else f"validation {name}", trained, duration
                    )
                    for column in columns
                    if isinstance(parse_column(column), Accuracy)
                },
                "weak.short": Provenance(
                    f"validation {name}",
                    f"training of {self.short_epochs} epochs, seed {WEAK_SEED}",
                    f"{self.short_epochs} of the {epochs} epochs of a training",
                ),
                "weak.synflow": Provenance("one image of ones", fresh, "one forward and backward pass"),
                "weak.naswot": Provenance(f"64 training {name}", fresh, "one forward pass"),
                "weak.grad_norm": Provenance(f"64 training {name}", fresh, "one forward and backward pass"),
            },
        )
