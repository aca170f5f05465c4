"""Weak labels that need neither a table nor a super-net: counted on networks, or told by functions and frames."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import pkgutil
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, cpu_count, delayed
from joblib.externals.loky.backend.reduction import dumps
from rich import get_console
from torch import Tensor, nn

from acenas.errors import UserError
from acenas.evaluation.command import call
from acenas.evaluation.zero_cost import Batch, grad_norm, naswot, noise, prepared, synflow
from acenas.executors.progress import show_progress
from acenas.files import check_kind
from acenas.images import ImageTask
from acenas.seeds import numpy_generator, torch_generator
from acenas.spaces.base import SearchSpace
from acenas.spaces.cost import Cost
from acenas.tables import Provenance, WeakLabels
from acenas.tables.schema import ARCH
from acenas.tables.weak_labels import COUNTED, check_weak_label
from acenas.training.lightning import one_thread
from acenas.training.network import initialised

BY_DEFAULT = ("params_m", "macs_m")
SCORES = ("synflow", "naswot", "grad_norm")
"""The zero-cost scores of `acenas.evaluation.zero_cost`; their labels are `weak.<score>`."""

IMAGES = 64
"""Training images of the scores' batch."""
TRIED = 50
"""Where this many architectures have no value, and none has one, the others are not tried."""
PARALLEL_ABOVE = 8.0
"""Seconds of work above which it is worth to start processes."""

Source = str | Callable[..., Any] | Mapping[str, Any] | pd.DataFrame
Values = dict[str, float]


def measure_of(name: str, dataset: str | None = None) -> str | None:
    """Returns what is counted under the name of a label: a cost or a score; None where nothing is.

    Args:
        name: `params_m`, `macs_m`, `flops_m`, the same as `<dataset>.params_m`, `synflow` or `weak.synflow`, ...
        dataset: the one that names may have; None for any.

    >>> measure_of("digits.flops_m", "digits"), measure_of("weak.synflow"), measure_of("weak.supernet")
    ('flops_m', 'synflow', None)
    """
    if match := COUNTED.fullmatch(name):
        return match[2] if match[1] is None or dataset in (None, match[1]) else None
    score = name.removeprefix("weak.")
    return score if score in SCORES else None


def own_function(name: str) -> Callable[..., Any] | None:
    """Returns the function with this dotted name; None where there is none."""
    try:
        found = pkgutil.resolve_name(name) if "." in name else None
    except Exception:  # whatever the module raises when it is imported
        return None
    return found if callable(found) else None


def counted_by_default(space: SearchSpace, images: ImageTask | None = None) -> list[str]:
    """Returns the labels that are there without asking: parameters and multiply-adds, where `space` builds networks.

    Tells on the console why there are none where the space builds networks that cannot be counted.

    Args:
        space: of the architectures.
        images: what networks read, where the space has no `example_input`; None for none.
    """
    if space.example_input is None and images is None:
        return []
    (arch,) = space.sample(1, torch_generator(0, "example"))
    with suppress(Exception):  # told below, unless another one can be built
        try:
            space.build(arch, _read(space, images)[1])  # type: ignore[arg-type]  # of own spaces, optional
        except UserError:
            return []
    try:
        check_counted(space, images)
    except UserError as error:
        get_console().print(str(error), markup=False)
        return []
    return list(BY_DEFAULT)


def check_counted(space: SearchSpace, images: ImageTask | None = None) -> None:
    """Raises `UserError` where nothing can be counted on the networks of `space`: it builds none, or what they read."""
    measure = _counting("params_m", space, images, 0)
    archs = space.sample(5, torch_generator(0, "example"))
    found = measure(archs)
    if all(each.missing is not None for each in found):
        raise UserError(
            f"weak_labels: nothing can be counted on the networks of {space.name}: {found[0].missing}"
        )


def weak_labels(
    space: SearchSpace,
    archs: Sequence[str],
    sources: Sequence[Source] | Source,
    folder: str | Path,
    *,
    jobs: int | None = None,
    seed: int = 0,
    images: ImageTask | None = None,
    limit: int = 2000,
    progress: Callable[[int, int], None] | None = None,
) -> WeakLabels:
    """Makes weak labels of `archs`, as far as `folder` does not hold them yet.

    Architectures with one canonical form are measured once. Each finished value is a line of a file in `folder`, so
    that a killed call loses about a second of work. Labels with other settings have other files.

    A value is missing where the network does not allow it, or raises; why is in the provenance, told on the console,
    and beside each architecture in the file.

    Args:
        space: of the architectures.
        archs: architectures.
        sources: names, functions, mappings and frames, together or alone.

            - `params_m`, `macs_m`, `flops_m`, in millions, with a data set's name before them or without, see
              `acenas.spaces.cost.Cost`; `synflow`, `naswot`, `grad_norm`, with `weak.` before them or without, see
              `acenas.evaluation.zero_cost`. The networks read `example_input` of the space, or else `images`.
            - A function of the choices by name, or of the string of an architecture, or the function's dotted name. It
              returns a number, for the label `weak.<name of the function>`, or a mapping of several by name.
            - A mapping from the names of labels to such functions, or to mappings from architectures to numbers.
            - A frame of labels by name, with architectures as index, as column `arch`, or as a column for each choice.
        folder: of the labels.
        jobs: processes; None for one for each core. Short work needs none.
        seed: of weights, noise and sample.
        images: what networks read, where the space has no `example_input`; None for none.
        limit: a random sample of so many architectures with different functions is measured where there are more. A
            frame labels all that it has.
        progress: is called with the number of values done, and of all; by default progress is shown.

    Returns:
        The labels of the architectures that were measured or are in a frame, in the order of `archs`.

    Raises:
        UserError: for an unknown name, two labels of one name, or a space or input that nothing can be counted for.
    """
    folder = Path(folder)
    archs = list(dict.fromkeys(archs))
    if isinstance(sources, str | Mapping | pd.DataFrame) or callable(sources):
        sources = [sources]
    told: dict[str, Values] = {}  # label -> canonical form -> value
    measures: dict[str, tuple[_Measure, str | None]] = {}  # label -> what measures it, under which name there
    for name, given in (part for source in sources for part in _parts(source, space)):
        if name in told or name in measures:
            raise UserError(f"a weak label is named twice: {name}; name each once")
        measure = measure_of(given) if isinstance(given, str) else None
        if isinstance(given, Mapping):
            of_archs = {space.parse(str(arch)): float(value) for arch, value in given.items()}
            told[name] = dict(zip(space.canonical_all(list(of_archs)), of_archs.values(), strict=True))
        elif measure is not None:
            measures[name] = _counting(measure, space, images, seed), measure
        else:
            measures[name] = _Measure(name, space, function=_function(given)), None
    sample = _sample(space, archs, limit, seed) if measures else []
    if told:  # they are known without work
        rows, forms = archs, space.canonical_all(archs)
        known = set(sample)
        kept = [
            i
            for i, arch in enumerate(rows)
            if arch in known or any(forms[i] in each for each in told.values())
        ]
        rows, forms = [rows[i] for i in kept], [forms[i] for i in kept]
    else:
        rows, forms = sample, space.canonical_all(sample)
    columns, provenance = dict(told), {name: Provenance("none", "none", "given") for name in told}
    measured = list(dict.fromkeys(space.canonical_all(sample)))
    done: dict[str, Mapping[str, _Found]] = {}
    for name, (measuring, key) in measures.items():
        if measuring.name not in done:
            done[measuring.name] = measuring.run(measured, folder, jobs, progress)
        found = done[measuring.name]
        keys = [key] if key else list(dict.fromkeys(k for each in found.values() for k in each.values))
        for one in keys or [name]:
            label = name if key or one == name else _weak(one)  # of a function that returns a mapping
            if label in columns:
                raise UserError(f"a weak label is named twice: {label}; name each once")
            columns[label] = {arch: each.values.get(one, math.nan) for arch, each in found.items()}
            provenance[label] = measuring.provenance(label, found, one)
    values = np.array([[column.get(form, math.nan) for column in columns.values()] for form in forms], float)
    return WeakLabels(space.name, rows, list(columns), values.reshape(len(rows), len(columns)), provenance)


def informative(labels: WeakLabels) -> WeakLabels:
    """Returns those labels that differ between architectures, and tells on the console which do not: none can learn."""
    frame = labels.frame()
    names = [name for name in labels.names if frame[name].nunique(dropna=True) > 1]
    for name in set(labels.names) - set(names):
        get_console().print(f"{name} is left out: all its values are equal or missing", markup=False)
    return WeakLabels(labels.space, labels.archs, names, frame[names].to_numpy(), labels.provenance)


class _Found(NamedTuple):
    """What was measured of one architecture: values by name, or why there are none, and in how many seconds."""

    values: Values
    missing: str | None
    seconds: float


@dataclass(frozen=True)
class _Measure:
    """Measures one kind of labels: all costs, a score, or a function.

    Attributes:
        name: `costs`, a score, or the label of a function.
        space: of the architectures.
        inputs: an image's shape or an example input; None for a function.
        num_classes: of the networks; None where the space knows.
        function: of the user; None for costs and scores.
        batch: of images; None for noise like `inputs`.
        seed: of weights and noise.
    """

    name: str
    space: SearchSpace
    inputs: Any = None
    num_classes: int | None = None
    function: Callable[..., Any] | None = None
    batch: Batch | None = None
    seed: int = 0

    def __call__(self, archs: Sequence[str], meta: bool = False) -> list[_Found]:
        """Measures `archs`, one by one where that cannot be done for all of them at once.

        Args:
            archs: architectures.
            meta: counts on networks without values where they can be built so.
        """
        start = time.perf_counter()
        with one_thread():
            try:
                found = self._values(archs, meta)
            except Exception as error:  # of the user's function or network, whatever it is
                if len(archs) > 1:
                    return [each for arch in archs for each in self([arch], meta)]
                return [_Found({}, _reason(error), time.perf_counter() - start)]
        seconds = (time.perf_counter() - start) / max(len(archs), 1)
        return [_finite(values, seconds) for values in found]

    def _values(self, archs: Sequence[str], meta: bool) -> list[Values]:
        if self.function is not None:
            told = [call(self.function, self.space, arch) for arch in archs]
            return [
                {str(k): float(v) for k, v in each.items()}
                if isinstance(each, Mapping)
                else {self.name: float(each)}
                for each in told
            ]
        if self.name == "costs":
            count = partial(self.space.costs, archs, self.num_classes, self.inputs)  # type: ignore[arg-type]
            if meta:
                try:
                    with torch.device("meta"):
                        return [cost._asdict() for cost in count()]
                except Exception:  # of a network that needs values; it is counted with them
                    pass
            return [cost._asdict() for cost in count()]
        return [{self.name: self._score(arch)} for arch in archs]

    def _score(self, arch: str) -> float:
        inputs = self.space.example_input if self.space.example_input is not None else self.inputs
        network = initialised(lambda: prepared(self._build(arch), inputs), self.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            if self.name == "synflow":
                return synflow(network, inputs)
            batch = self.batch or noise(network, inputs, self.seed)
            return naswot(network, batch) if self.name == "naswot" else grad_norm(network, batch)

    def _build(self, arch: str) -> nn.Module:
        return self.space.build(arch, self.num_classes)  # type: ignore[arg-type]  # of own spaces, optional

    def run(
        self,
        archs: Sequence[str],
        folder: Path,
        jobs: int | None,
        progress: Callable[[int, int], None] | None,
    ) -> dict[str, _Found]:
        """Measures those of `archs` that `folder` does not hold yet; returns all of them, but for those given up."""
        file = folder / f"{self.name}-{self._digest(archs)}.jsonl"
        wanted = set(archs)
        found = {arch: each for arch, each in _lines(file) if arch in wanted}
        missing = [arch for arch in archs if arch not in found]
        if not missing:
            return found
        order = numpy_generator(self.seed, "weak labels", "order").permutation(len(missing))
        missing, earlier = [missing[i] for i in order], len(found)
        folder.mkdir(parents=True, exist_ok=True)
        measured = self._measured(missing, cpu_count() if jobs is None else jobs)
        if progress is None:
            title = f"weak label {self.name}: measured"
            measured = show_progress(measured, len(archs), earlier, get_console(), title)
        has_any = any(each.missing is None for each in found.values())
        with file.open("a", encoding="utf-8") as lines:
            if file.stat().st_size:
                lines.write("\n")  # where a kill has cut a line off
            for arch, each in measured:
                found[arch] = each
                lines.write(json.dumps([arch, *each]) + "\n")
                lines.flush()
                has_any = has_any or each.missing is None
                if progress is not None:
                    progress(len(found), len(archs))
                if not has_any and len(found) >= TRIED:
                    break
        if progress is not None and len(found) < len(archs):
            progress(len(archs), len(archs))
        return found

    def _measured(self, archs: Sequence[str], jobs: int) -> Iterator[tuple[str, _Found]]:
        """Measures `archs` here, ever more at once, as long as the rest takes no longer than to start processes."""
        done, count, rate, begin = 0, 1, math.inf, time.perf_counter()
        while done < len(archs):
            long = (
                rate * (len(archs) - done) > PARALLEL_ABOVE
                and time.perf_counter() - begin > PARALLEL_ABOVE / 4
            )
            if done and long and jobs > 1 and self._travels():
                yield from self._in_processes(archs[done:], jobs, rate)
                return
            start, part = time.perf_counter(), archs[done : done + count]
            yield from zip(part, self(part), strict=True)
            seconds = time.perf_counter() - start
            done, rate = done + len(part), min(rate, seconds / len(part))  # the first one is slower
            count = count * 2 if seconds < 0.5 else max(count // 2, 1)

    def _in_processes(self, archs: Sequence[str], jobs: int, rate: float) -> Iterator[tuple[str, _Found]]:
        count = max(min(int(1 / rate), len(archs) // (4 * jobs)), 1)
        parts = [archs[start : start + count] for start in range(0, len(archs), count)]
        parallel = Parallel(jobs, "loky", return_as="generator_unordered", pre_dispatch="2 * n_jobs")
        try:
            for part, found in parallel(delayed(_with_archs)(self, part) for part in parts):
                yield from zip(part, found, strict=True)
        except BrokenProcessPool:
            raise UserError(
                f"weak labels: a process that measured {self.name} was killed, for want of memory perhaps; the same "
                "again goes on where it was, with fewer jobs, or leave this label out"
            ) from None

    def _travels(self) -> bool:
        """Whether this can be sent to other processes."""
        try:
            dumps(self)
        except Exception:  # whatever an object of the user's raises
            return False
        return True

    def _digest(self, archs: Sequence[str]) -> str:
        """Hexadecimal digits of all that the values depend on, as far as it can be told."""
        if self.function is not None:
            content: list[Any] = [self.space.name, _source(self.function)]
        else:
            example = self.space.example_input
            inputs = example if example is not None else self.inputs
            images = None if self.batch is None else _told(self.batch.args)
            try:
                network = str(self._build(min(archs)))
            except Exception:  # that of one architecture says nothing of the others
                network = ""
            content = [self.space.name, network, self.num_classes, self.seed, _told(inputs), images]
        return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()[:10]

    def provenance(self, label: str, found: Mapping[str, _Found], key: str) -> Provenance:
        """Says how `label`, the value `key`, was measured, and where it is missing; that is told on the console too."""
        seconds = sum(each.seconds for each in found.values()) / max(len(found), 1)
        reasons = Counter(each.missing for each in found.values() if each.missing is not None)
        reasons += Counter(
            f"{label} is not told" for each in found.values() if not each.missing and key not in each.values
        )
        missing = ""
        if reasons:
            reason, _ = reasons.most_common(1)[0]
            missing = f"missing for {reasons.total():,} of {len(found):,} architectures: {reason}"
            get_console().print(f"{label} is {missing}", markup=False)
        duration = "; ".join(filter(None, [f"{seconds:.2g} seconds an architecture", missing]))
        if self.function is not None or self.name == "costs":
            return Provenance("none", "none", duration)
        images = f"{self.batch.rows} training images" if self.batch else "noise like the example input"
        return Provenance(
            "one input of ones" if self.name == "synflow" else images,
            f"fresh weights of seed {self.seed}",
            duration,
        )


def _with_archs(measure: _Measure, archs: Sequence[str]) -> tuple[Sequence[str], list[_Found]]:
    return archs, measure(archs, meta=True)


def _finite(values: Values, seconds: float) -> _Found:
    finite = {name: value for name, value in values.items() if math.isfinite(value)}
    return _Found(finite, None if finite else "it is not finite", seconds)


def _lines(file: Path) -> Iterator[tuple[str, _Found]]:
    """What `file` holds; a line that a kill has cut off is left out."""
    if file.exists():
        for line in file.read_bytes().splitlines():
            try:
                arch, values, missing, seconds = json.loads(line)
                check_kind(
                    {"arch": arch, "values": values, "missing": missing, "seconds": seconds},
                    {"arch": str, "values": {str: float}, "missing": (str, type(None)), "seconds": float},
                )
            except (ValueError, TypeError, RecursionError):
                continue
            yield arch, _Found(values, missing, seconds)


def _read(space: SearchSpace, images: ImageTask | None) -> tuple[Any, int | None]:
    """The shape of images and their number of classes; None for a space whose networks read something else."""
    if images is None:
        return None, None
    return images.splits.image_shape, images.splits.num_classes


def _first_images(images: ImageTask) -> Batch:
    splits = images.splits
    count = min(IMAGES, len(splits.train.labels))
    first = next(iter(splits.train.batches([torch.arange(count)])))
    return Batch([splits.normalise(first.images)], {}, count, first.labels)


def _counting(measure: str, space: SearchSpace, images: ImageTask | None, seed: int) -> _Measure:
    """What counts `measure`, a cost or a score."""
    if space.example_input is None and images is None:
        raise UserError(
            f"weak_labels: {measure} is counted on networks, and nothing says what those of {space.name} read; give "
            "the space an example_input, or choose images"
        )
    if measure in Cost._fields:
        return _Measure("costs", space, *_read(space, images))
    batch = _first_images(images) if images is not None and space.example_input is None else None
    return _Measure(measure, space, *_read(space, images), batch=batch, seed=seed)


def _function(given: Any) -> Callable[..., Any]:
    """`given`, a function or its dotted name."""
    found = own_function(given) if isinstance(given, str) else given
    if not callable(found):
        raise UserError(
            f"weak_labels: there is no {given}; choose from {', '.join((*Cost._fields, *SCORES))}, or name a function, "
            "as in module.function"
        )
    return found


def _parts(source: Source, space: SearchSpace) -> Iterator[tuple[str, Any]]:
    """The labels of one source, each with its name, a function, or a mapping from architectures to numbers."""
    match source:
        case str():
            measure = measure_of(source)
            if measure is None:
                yield _weak(_function(source).__name__), source
            else:
                yield (f"weak.{measure}" if measure in SCORES else source), source
        case pd.DataFrame():
            if ARCH in source:
                archs = source[ARCH].astype(str).tolist()
            elif space.choices(space.sample(1, torch_generator(0, "example"))[0]) and isinstance(
                source.index, pd.RangeIndex
            ):
                archs = [space.from_choices(row) for row in source.to_dict("records")]
            else:
                archs = source.index.astype(str).tolist()
            numbers = source.select_dtypes("number")
            choices = set(space.choices(space.parse(archs[0]))) if archs else set()
            for name in (str(name) for name in numbers if name not in choices):
                yield _weak(name), dict(zip(archs, numbers[name].tolist(), strict=True))
        case Mapping():
            for name, given in source.items():
                yield _weak(name), given
        case _:
            yield _weak(getattr(source, "__name__", type(source).__name__)), source


def _weak(name: str) -> str:
    """The label called `name`, in the grammar of `acenas.tables.schema`. Raises `UserError` for an accuracy."""
    try:
        check_weak_label(name)
    except UserError as error:
        if " is not a weak label" not in str(error):
            raise
        return "weak." + (".".join(re.findall(r"[A-Za-z0-9_-]+", name)) or "label")
    return name


def _sample(space: SearchSpace, archs: Sequence[str], limit: int, seed: int) -> list[str]:
    """Draws `limit` of `archs` with different functions; all of them where there are no more."""
    if len(archs) <= limit:
        return list(archs)
    order = numpy_generator(seed, "weak labels", "sample").permutation(len(archs))
    drawn: dict[str, str] = {}
    for start in range(0, len(order), limit):
        part = [archs[i] for i in order[start : start + limit].tolist()]
        for arch, canonical in zip(part, space.canonical_all(part), strict=True):
            drawn.setdefault(canonical, arch)
        if len(drawn) >= limit:
            break
    return list(drawn.values())[:limit]


def _reason(error: Exception) -> str:
    said = (str(error).strip().splitlines() or [""])[0]
    return said if isinstance(error, UserError) else f"{type(error).__name__}: {said}"[:300]


def _source(function: Any) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return str(getattr(function, "__qualname__", type(function).__name__))


def _told(inputs: Any) -> Any:
    """Plain values that say what `inputs` are."""
    match inputs:
        case Tensor():
            content = inputs.detach().cpu().contiguous()
            digest = hashlib.sha256(content.reshape(-1).view(torch.uint8).numpy().tobytes())
            return [list(inputs.shape), str(inputs.dtype), digest.hexdigest()]
        case Mapping():
            return {str(name): _told(value) for name, value in inputs.items()}
        case str() | int() | float() | None:
            return inputs
        case Sequence():
            return [_told(value) for value in inputs]
    return _source(inputs)
