"""Weak labels that need neither a table nor a super-net: counted on networks, or given by functions and frames."""

import hashlib
import inspect
import json
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from cloudpickle import dumps
from joblib import cpu_count
from rich import get_console
from torch import Tensor, nn

from acenas.errors import UserError
from acenas.evaluation.command import call
from acenas.evaluation.zero_cost import Batch, grad_norm, naswot, noise, prepared, synflow
from acenas.executors import Lost
from acenas.executors.local import in_processes
from acenas.executors.progress import show_progress
from acenas.files import check_kind
from acenas.images import ImageTask
from acenas.seeds import numpy_generator, torch_generator
from acenas.spaces.base import SearchSpace
from acenas.spaces.cost import Cost
from acenas.tables import Provenance, WeakLabels, parse_column
from acenas.tables.schema import Other, TrainSeconds
from acenas.tables.weak_labels import COUNTED, check_weak_label
from acenas.training.lightning import one_thread
from acenas.training.network import initialised
from acenas.trust import import_name

BY_DEFAULT = ("params_m", "macs_m")
SCORES = ("synflow", "naswot", "grad_norm")
"""The zero-cost scores of `acenas.evaluation.zero_cost`; their labels are `weak.<score>`."""

IMAGES = 64
"""Training images in the batch of the scores."""
TRIED = 50
"""Where so many architectures have no value, the others are not tried."""
PARALLEL_ABOVE = 8.0
"""Seconds of work above which processes are started."""

Source = str | Callable[..., Any] | Mapping[str, Any] | pd.DataFrame
Values = dict[str, float]


def measure_of(name: str, dataset: str | None = None) -> str | None:
    """Returns the cost or score that the name of a label stands for; None where it is another label.

    Args:
        name: `params_m`, `macs_m`, `flops_m`, the same as `<dataset>.params_m`, `synflow` or `weak.synflow`, ...
        dataset: the only one that a name may have; None for any.

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
        found = import_name(name) if "." in name else None
    except Exception:  # whatever the module raises when it is imported
        return None
    return found if callable(found) else None


def counted_by_default(space: SearchSpace, images: ImageTask | None = None) -> list[str]:
    """Returns the default labels: parameters and multiply-adds, where `space` builds networks, else none.

    Where the networks cannot be counted, it prints why.

    Args:
        space: of the architectures.
        images: the input of the networks, where the space has no `example_input`; None for none.
    """
    if space.example_input is None and images is None:
        return []
    (arch,) = space.sample(1, torch_generator(0, "example"))
    try:
        space.build(arch, images.splits.num_classes if images else None)  # type: ignore[arg-type]  # of own spaces, optional
    except UserError:
        return []
    except Exception:  # printed below, unless another one can be built
        pass
    try:
        check_counted(space, images)
    except UserError as error:
        get_console().print(str(error), markup=False)
        return []
    return list(BY_DEFAULT)


def check_counted(space: SearchSpace, images: ImageTask | None = None) -> None:
    """Raises `UserError` where nothing can be counted on the networks of `space`; see `counted_by_default`."""
    found = _counting("params_m", space, images, 0)(space.sample(5, torch_generator(0, "example")))
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
    """Computes weak labels of `archs`, as far as `folder` does not hold them yet.

    Architectures with the same canonical form are measured once. Each finished value is a line of a file in `folder`,
    so that a killed call loses about a second of work. Labels with other settings have other files.

    A value is missing where the network does not allow it or raises an error. The reason is in the file and in the
    provenance, and is printed.

    Args:
        space: of the architectures.
        archs: architectures.
        sources: names, functions, mappings and frames, together or alone.

            - `params_m`, `macs_m`, `flops_m`, in millions, optionally after the name of a data set, see
              `acenas.spaces.cost.Cost`; `synflow`, `naswot`, `grad_norm`, optionally after `weak.`, see
              `acenas.evaluation.zero_cost`. The input of the networks is `example_input` of the space, else `images`.
            - A function of the choices by name, or of the string of an architecture; or the function's dotted name. It
              returns a number, for the label `weak.<name of the function>`, or a mapping of several by name.
            - A mapping from the names of labels to such functions, or to mappings from architectures to numbers.
            - A frame of labels by name, see `SearchSpace.read_frame`.
        folder: of the labels.
        jobs: processes; None for one for each core. Short work needs none.
        seed: of weights, noise and sample.
        images: the input of the networks, where the space has no `example_input`; None for none.
        limit: of more architectures with different functions, a random sample of this size is measured. A frame labels
            all that it has.
        progress: is called with the number of values done, and of all; by default a bar is shown.

    Returns:
        The labels of the architectures that were measured or are in a frame, in the order of `archs`.

    Raises:
        UserError: for an unknown name, two labels of one name, or a space or input for which nothing can be counted.
    """
    archs = list(dict.fromkeys(archs))
    if isinstance(sources, str | Mapping | pd.DataFrame) or callable(sources):
        sources = [sources]
    given: dict[str, Values] = {}  # label -> canonical form -> value
    measures: dict[
        str, tuple[_Measure, str | None]
    ] = {}  # label -> its measure, and the name of the value there
    for name, source in (part for each in sources for part in _parts(each, space)):
        if name in given or name in measures:
            raise UserError(f"a weak label is named twice: {name}; name each once")
        if isinstance(source, Mapping):
            of_archs = {space.parse(str(arch)): float(value) for arch, value in source.items()}
            given[name] = dict(zip(space.canonical_all(list(of_archs)), of_archs.values(), strict=True))
        elif isinstance(source, str) and (measure := measure_of(source)):
            measures[name] = _counting(measure, space, images, seed), measure
        else:
            measures[name] = _Measure(name, space, function=_function(source)), None
    sample = _sample(space, archs, limit, seed) if measures else []
    listed = archs if given else sample
    forms = dict(zip(listed, space.canonical_all(listed), strict=True))
    wanted = set(sample)
    rows = [a for a, form in forms.items() if a in wanted or any(form in each for each in given.values())]
    columns: dict[str, Values] = dict(given)
    provenance = {name: Provenance("none", "none", "given") for name in given}
    done: dict[str, dict[str, _Found]] = {}
    for name, (measuring, key) in measures.items():
        if measuring.name not in done:
            measured = list(dict.fromkeys(forms[arch] for arch in sample))
            done[measuring.name] = measuring.run(measured, Path(folder), jobs, progress)
        found = done[measuring.name]
        keys = [key] if key else list(dict.fromkeys(k for each in found.values() for k in each.values))
        for one in keys or [name]:
            label = name if key or one == name else _weak(one)  # of a function that returns a mapping
            if label in columns:
                raise UserError(f"a weak label is named twice: {label}; name each once")
            columns[label] = {arch: each.values.get(one, math.nan) for arch, each in found.items()}
            provenance[label] = measuring.provenance(label, found, one)
    values = [[column.get(forms[arch], math.nan) for column in columns.values()] for arch in rows]
    table = np.array(values, float).reshape(len(rows), len(columns))
    return WeakLabels(space.name, rows, list(columns), table, provenance)


def informative(labels: WeakLabels) -> WeakLabels:
    """Returns the labels that differ between architectures, as no other can be learned; prints which are left out."""
    frame = labels.frame()
    names = [name for name in labels.names if frame[name].nunique(dropna=True) > 1]
    for name in set(labels.names) - set(names):
        get_console().print(f"{name} is left out: all its values are equal or missing", markup=False)
    return WeakLabels(labels.space, labels.archs, names, frame[names].to_numpy(), labels.provenance)


# --- the sources ---


def _parts(source: Source, space: SearchSpace) -> Iterator[tuple[str, Any]]:
    """Yields the labels of one source: a name, and a function or a mapping from architectures to numbers."""
    match source:
        case str():
            measure = measure_of(source)
            label = source if measure else _weak(_function(source).__name__)
            yield f"weak.{measure}" if measure in SCORES else label, source
        case pd.DataFrame():
            archs = space.read_frame(source)
            choices = set(space.choices(archs[0])) if archs else set()
            numbers = source.select_dtypes("number")
            for name in (str(name) for name in numbers if name not in choices):
                yield _weak(name), dict(zip(archs, numbers[name].tolist(), strict=True))
        case Mapping():
            for name, given in source.items():
                yield _weak(name), given
        case _:
            yield _weak(getattr(source, "__name__", type(source).__name__)), source


def _weak(name: str) -> str:
    """Returns the label of this name, `weak.<name>` where the name says nothing. Raises `UserError` for an accuracy."""
    if isinstance(parse_column(name), Other | TrainSeconds) and not COUNTED.fullmatch(name):
        name = "weak." + (".".join(re.findall(r"[A-Za-z0-9_-]+", name)) or "label")
    check_weak_label(name)
    return name


def _function(given: Any) -> Callable[..., Any]:
    """Returns `given`, a function or its dotted name."""
    found = own_function(given) if isinstance(given, str) else given
    if not callable(found):
        raise UserError(
            f"weak_labels: there is no {given}; choose from {', '.join((*Cost._fields, *SCORES))}, or name a function, "
            "as in module.function"
        )
    return found


def _sample(space: SearchSpace, archs: Sequence[str], limit: int, seed: int) -> list[str]:
    """Draws `limit` of `archs` with different functions; returns all of them where there are no more."""
    if len(archs) <= limit:
        return list(archs)
    drawn: dict[str, str] = {}
    for i in numpy_generator(seed, "weak labels", "sample").permutation(len(archs)).tolist():
        drawn.setdefault(space.canonical(archs[i]), archs[i])
        if len(drawn) == limit:
            break
    return list(drawn.values())


# --- measuring ---


class _Found(NamedTuple):
    """The values of one architecture by name, or why there are none, and the seconds that measuring took."""

    values: Values
    missing: str | None
    seconds: float


@dataclass(frozen=True)
class _Measure:
    """Measures labels of one kind: all costs, a score, or a function.

    Attributes:
        name: `costs`, a score, or the label of a function.
        space: of the architectures.
        image_shape: of the networks' input where the space has no example; None for none.
        num_classes: of the networks; None where the space knows.
        function: of the user; None for costs and scores.
        batch: of images, for scores; None for noise like the example.
        seed: of weights and noise.
    """

    name: str
    space: SearchSpace
    image_shape: Any = None
    num_classes: Any = None
    function: Callable[..., Any] | None = None
    batch: Batch | None = None
    seed: int = 0

    @property
    def inputs(self) -> Any:
        """The input of the networks, see `acenas.spaces.cost.count_cost`."""
        return self.image_shape if self.space.example_input is None else self.space.example_input

    def __call__(self, archs: Sequence[str], meta: bool = False) -> list[_Found]:
        """Measures `archs`, one by one where that fails for all of them at once.

        With `meta`, costs are counted on networks without values, where they can be built so.
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
        finite = [{name: v for name, v in values.items() if math.isfinite(v)} for values in found]
        return [_Found(values, None if values else "it is not finite", seconds) for values in finite]

    def _values(self, archs: Sequence[str], meta: bool) -> list[Values]:
        if self.function is not None:
            returned = [call(self.function, self.space, arch) for arch in archs]
            named = [each if isinstance(each, Mapping) else {self.name: each} for each in returned]
            return [{str(name): float(value) for name, value in each.items()} for each in named]
        if self.name != "costs":
            return [{self.name: self._score(arch)} for arch in archs]
        if meta:
            with (
                suppress(Exception),
                torch.device("meta"),
            ):  # a network may need values; it is counted with them
                return self._costs(archs)
        return self._costs(archs)

    def _costs(self, archs: Sequence[str]) -> list[Values]:
        return [cost._asdict() for cost in self.space.costs(archs, self.num_classes, self.image_shape)]

    def _score(self, arch: str) -> float:
        network = initialised(lambda: prepared(self._build(arch), self.inputs), self.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            if self.name == "synflow":
                return synflow(network, self.inputs)
            batch = self.batch or noise(network, self.inputs, self.seed)
            return naswot(network, batch) if self.name == "naswot" else grad_norm(network, batch)

    def _build(self, arch: str) -> nn.Module:
        return self.space.build(arch, self.num_classes)

    def run(
        self,
        archs: Sequence[str],
        folder: Path,
        jobs: int | None,
        progress: Callable[[int, int], None] | None,
    ) -> dict[str, _Found]:
        """Measures those of `archs` that `folder` does not hold yet; returns all, except those given up."""
        file = folder / f"{self.name}-{self._digest(archs)}.jsonl"
        wanted = set(archs)
        found = {arch: each for arch, each in _lines(file) if arch in wanted}
        missing = [arch for arch in archs if arch not in found]
        if not missing:
            return found
        order = numpy_generator(self.seed, "weak labels", "order").permutation(len(missing))
        measured = self._measured([missing[i] for i in order], cpu_count() if jobs is None else jobs)
        if progress is None:
            title = f"weak label {self.name}: measured"
            measured = show_progress(measured, len(archs), len(found), get_console(), title)
        folder.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as lines:
            lines.write("\n")  # ends a line that a kill has cut off
            for arch, each in measured:
                found[arch] = each
                lines.write(json.dumps([arch, *each]) + "\n")
                lines.flush()
                if progress is not None:
                    progress(len(found), len(archs))
                if len(found) >= TRIED and all(each.missing for each in found.values()):
                    break
        if progress is not None and len(found) < len(archs):
            progress(len(archs), len(archs))
        return found

    def _measured(self, archs: Sequence[str], jobs: int) -> Iterator[tuple[str, _Found]]:
        """Measures `archs` here, ever more at once, while the rest takes no longer than to start processes."""
        done, count, rate, begin = 0, 1, math.inf, time.perf_counter()
        while done < len(archs):
            start, rest = time.perf_counter(), archs[done:]
            is_long = rate * len(rest) > PARALLEL_ABOVE and start - begin > PARALLEL_ABOVE / 4
            if done and is_long and jobs > 1 and self._can_be_sent():
                yield from self._in_processes(rest, jobs, rate)
                return
            yield from zip(rest[:count], self(rest[:count]), strict=True)
            seconds, part = time.perf_counter() - start, len(rest[:count])
            done, rate = done + part, min(rate, seconds / part)  # the first one is slower
            count = count * 2 if seconds < 0.5 else max(count // 2, 1)

    def _in_processes(self, archs: Sequence[str], jobs: int, rate: float) -> Iterator[tuple[str, _Found]]:
        count = max(min(int(1 / rate), len(archs) // (4 * jobs)), 1)
        parts = [archs[start : start + count] for start in range(0, len(archs), count)]
        for part, found in in_processes(((part, partial(self, part, meta=True)) for part in parts), jobs):
            if isinstance(found, Lost):
                raise UserError(
                    f"weak labels: a process that measured {self.name} was killed, for want of memory perhaps; the "
                    "same again goes on where it was, with fewer jobs, or leave this label out"
                )
            yield from zip(part, found, strict=True)

    def _can_be_sent(self) -> bool:
        """Returns whether this can be sent to other processes."""
        try:
            dumps(self)
        except Exception:  # whatever an object of the user's raises
            return False
        return True

    def _digest(self, archs: Sequence[str]) -> str:
        """Returns hexadecimal digits of all that the values depend on, as far as it is known."""
        content: list[Any] = [self.space.name]
        if self.function is not None:
            content += [_plain(self.function)]
        else:
            try:
                network = str(self._build(min(archs)))
            except Exception:  # that of one architecture says nothing of the others
                network = ""
            images = None if self.batch is None else self.batch.args
            content += [network, self.num_classes, self.seed, self.inputs, images]
        return hashlib.sha256(json.dumps(content, default=_plain).encode()).hexdigest()[:10]

    def provenance(self, label: str, found: Mapping[str, _Found], key: str) -> Provenance:
        """Returns how the values `key` were measured, for `label`, and why some are missing; prints the latter."""
        seconds = sum(each.seconds for each in found.values()) / max(len(found), 1)
        reasons = Counter(each.missing for each in found.values() if each.missing is not None)
        lacking = [each for each in found.values() if not each.missing and key not in each.values]
        reasons += Counter({f"{label} is not told": len(lacking)})
        duration = f"{seconds:.2g} seconds an architecture"
        if reasons:
            reason, _ = reasons.most_common(1)[0]
            missing = f"missing for {reasons.total():,} of {len(found):,} architectures: {reason}"
            get_console().print(f"{label} is {missing}", markup=False)
            duration += f"; {missing}"
        if self.function is not None or self.name == "costs":
            return Provenance("none", "none", duration)
        images = f"{self.batch.rows} training images" if self.batch else "noise like the example input"
        images = "one input of ones" if self.name == "synflow" else images
        return Provenance(images, f"fresh weights of seed {self.seed}", duration)


def _counting(measure: str, space: SearchSpace, images: ImageTask | None, seed: int) -> _Measure:
    """Returns what measures `measure`, a cost or a score."""
    if space.example_input is None and images is None:
        raise UserError(
            f"weak_labels: {measure} is counted on networks, and nothing says what those of {space.name} read; give "
            "the space an example_input, or choose images"
        )
    splits = images.splits if images else None
    shape, num_classes = (splits.image_shape, splits.num_classes) if splits else (None, None)
    if measure in Cost._fields:
        return _Measure("costs", space, shape, num_classes)
    batch = None
    if splits and space.example_input is None:
        count = min(IMAGES, len(splits.train.labels))
        first = next(iter(splits.train.batches([torch.arange(count)])))
        batch = Batch([splits.normalise(first.images)], {}, count, first.labels)
    return _Measure(measure, space, shape, num_classes, batch=batch, seed=seed)


def _lines(file: Path) -> Iterator[tuple[str, _Found]]:
    """Yields what `file` holds, except a line that a kill has cut off."""
    for line in file.read_bytes().splitlines() if file.exists() else ():
        try:
            arch, values, missing, seconds = json.loads(line)
            check_kind([arch, missing or ""], [str])
            check_kind({"values": values, "seconds": seconds}, {"values": {str: float}, "seconds": float})
        except (ValueError, TypeError, RecursionError):
            continue
        yield arch, _Found(values, missing, seconds)


def _reason(error: Exception) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return first if isinstance(error, UserError) else f"{type(error).__name__}: {first}"[:300]


def _plain(value: Any) -> Any:
    """Returns plain values that identify a tensor, or a function by its source."""
    if isinstance(value, Tensor):
        content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        return [list(value.shape), str(value.dtype), hashlib.sha256(content.numpy().tobytes()).hexdigest()]
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):
        return str(getattr(value, "__qualname__", type(value).__name__))
