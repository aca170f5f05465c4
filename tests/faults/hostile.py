"""Gives readers hostile inputs: each is read, or refused in a sentence, within `SECONDS` and `MEMORY`.

    python -m tests.faults.hostile [--inputs 100000] [--targets table,images] [--seed 0]

Inputs are valid ones that are cut, flipped and joined, or in which values of other types stand, and text of any kind.
Each reader has a process of its own, so that a crash of a library is seen. What was neither read nor refused is kept in
tests/faults/corpus, whose files `test_hostile` gives to the same readers. Prints counts; the exit status is 1 where
anything was kept.
"""

import argparse
import copy
import hashlib
import io
import json
import math
import os
import pickle
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from acenas.errors import UserError
from acenas.images.decoding import DAMAGE, converted, open_image, pixels
from acenas.markup import cell, code, html_table, latex, markdown, one_line
from acenas.report.finished import read_runs
from acenas.run.commands.status import look_at, show
from acenas.spaces import NDS, MobileNet, NasBench101, NasBench201
from acenas.tables import BenchmarkTable, TableMetadata, WeakLabels, write_table
from acenas.tables.importers.nasbench201 import import_nasbench201
from acenas.tables.importers.nds import import_nds
from acenas.tables.importers.own import import_own
from tests.report.runs import finished_run
from tests.run.test_values import EXPERIMENTS, composed, keys, tried, values
from tests.tables.importers import (
    test_acenas,
    test_nasbench101,
    test_nasbench201,
    test_nds,
    test_own,
    tfrecords,
)

SECONDS = 5.0
"""Of the processor, for one input."""

MEMORY = 1 << 30
"""Bytes that one input may take beside what the process has."""

CORPUS = Path(__file__).with_name("corpus")


class Slow(BaseException):
    """An input took more than `SECONDS`."""


@contextmanager
def limited() -> Iterator[None]:
    """Ends the block after `SECONDS` of the processor; the memory of the process is limited by `main`."""

    def end(*_: object) -> None:
        raise Slow(f"more than {SECONDS:g} s")

    before = signal.signal(signal.SIGPROF, end)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def limit_memory() -> None:
    """Limits the address space of this process to what it has and `MEMORY`."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


# --- inputs ---

_ODD: tuple[Any, ...] = (
    None, True, -1, 0, 10**400, -(10**20), 2**63, 1e400, -1e308, 5e-324, math.nan, "", "x" * 5000, "9" * 5000, "1e400",
    "\u202e", "\ud800", "\0", "=1+1", "<script>alert(1)</script>", "../../etc/passwd", "${oc.env:HOME}", "[" * 5000, [],
    [[]], {}, {"": {}}, [None] * 1000, {"_target_": "os.system"},
)  # fmt: skip
_odd = st.one_of(
    st.sampled_from(_ODD),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.lists(st.integers(), max_size=3),
)


@st.composite
def cut_and_flipped(draw: st.DrawFn, examples: Sequence[bytes]) -> bytes:
    """One of `examples` with bytes changed, cut out, repeated, or those of another one put in."""
    content = bytearray(draw(st.sampled_from(examples)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        size = draw(st.sampled_from((1, 1, 2, 4, 8, 64, len(content))))
        match draw(st.sampled_from(("flip", "flip", "set", "cut", "repeat", "join"))):
            case "flip" if content:
                content[at] ^= 1 << draw(st.integers(0, 7))
            case "set":
                content[at : at + min(size, 8)] = draw(st.binary(min_size=min(size, 8), max_size=8))
            case "cut":
                del content[at : at + size]
            case "repeat":
                content[at:at] = content[at : at + min(size, 4096)] * draw(st.sampled_from((1, 2, 100)))
            case _:
                other = draw(st.sampled_from(examples))
                content[at:] = other[draw(st.integers(0, len(other))) :]
    return bytes(content[: 1 << 20])


@st.composite
def with_odd_values(draw: st.DrawFn, examples: Sequence[Any]) -> Any:
    """One of `examples`, of which up to three values, at any depth, are of another kind, missing or doubled."""
    changed = {"all": copy.deepcopy(draw(st.sampled_from(examples)))}
    for _ in range(draw(st.integers(1, 3))):
        node: Any = changed
        key: Any = "all"
        while isinstance(node[key], dict | list) and node[key] and draw(st.integers(0, 5)):
            node = node[key]
            key = draw(
                st.sampled_from(sorted(node, key=repr) if isinstance(node, dict) else range(len(node)))
            )
        match draw(st.sampled_from(("odd", "odd", "odd", "missing", "wrapped"))):
            case "missing" if node is not changed:
                del node[key]
            case "wrapped":
                node[key] = [node[key]]
            case _:
                node[key] = copy.deepcopy(draw(_odd))  # the next change may be one within it
    return changed["all"]


def as_json(value: Any) -> bytes:
    return json.dumps(value, default=repr).encode()


def as_pickle(value: Any) -> bytes:
    return pickle.dumps(value, protocol=4)


# --- readers ---


@dataclass(frozen=True)
class Target:
    """A reader and what it is given.

    Attributes:
        inputs: of what it reads.
        read: reads one of them; a `UserError` and `refusals` are right, all else that it raises is not.
        share: of all inputs.
    """

    inputs: st.SearchStrategy[Any]
    read: Callable[[Any], object]
    share: float = 1.0
    refusals: tuple[type[Exception], ...] = (UserError,)


def reads_file(folder: Path, name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """Returns a reader of a file's content."""

    def reader(content: bytes) -> object:
        (folder / name).write_bytes(content)
        return read(folder / name)

    return reader


def importers(folder: Path) -> Iterator[tuple[str, Target]]:
    """The importers of benchmark files."""
    out = folder / "out.parquet"
    pth, bz2 = test_nasbench201.pth_file(folder / "a"), test_nasbench201.nats_file(folder / "b")
    legacy = test_nasbench201.pth_file(folder / "c", legacy=True)
    space = NasBench201()
    for name, files in {"x.pth": [pth, legacy], "x.pickle.pbz2": [bz2]}.items():
        examples = [file.read_bytes() for file in files]
        read = reads_file(folder, name, lambda path: import_nasbench201(path, out, space))
        yield f"nb201 {name}", Target(cut_and_flipped(examples), read, 0.5)
    infos = test_nasbench201.infos("less", "full")
    whole = {"meta_archs": test_nasbench201.ARCHS, "arch2infos": infos, "evaluated_indexes": [0, 1, 2]}

    def saved(value: Any) -> bytes:
        torch.save(value, buffer := io.BytesIO())
        return buffer.getvalue()

    read = reads_file(folder, "y.pth", lambda path: import_nasbench201(path, out, space))
    yield "nb201 values", Target(with_odd_values([whole]).map(saved), read, 0.5)
    records = test_nasbench101.records((4, 108))[:4]
    framed = b"".join(map(tfrecords.frame, records))
    read = reads_file(folder, "x.tfrecord", test_nasbench101.imported)
    yield "nb101 bytes", Target(cut_and_flipped([framed]), read)
    values = with_odd_values([json.loads(record) for record in records]).map(
        lambda v: tfrecords.frame(as_json(v))
    )
    yield "nb101 values", Target(values, read)
    read = reads_file(folder, "ENAS.json", lambda path: import_nds(path, out, test_nds.to_arch))
    yield "nds bytes", Target(cut_and_flipped([as_json(test_nds.RECORDS[:2])]), read)
    yield "nds values", Target(with_odd_values([test_nds.RECORDS[:2]]).map(as_json), read)
    read = reads_file(folder, "x_gt_all.pkl", lambda path: test_acenas.imported(path, None))
    yield "acenas bytes", Target(cut_and_flipped([as_pickle(test_acenas.KNOWN)]), read)
    yield "acenas values", Target(with_odd_values([test_acenas.KNOWN]).map(as_pickle), read)
    table = test_own.FRAME.to_csv(index=False).encode()

    def read_own(path: Path) -> int:
        return import_own(path, out, test_own.SPACE, test_own.COLUMNS, "fraction")

    yield "csv", Target(cut_and_flipped([table]), reads_file(folder, "x.csv", read_own), 3)


def tables(folder: Path) -> Iterator[tuple[str, Target]]:
    """Tables and weak labels, which are Parquet files, and the values of weak labels."""
    frame = pd.DataFrame({"arch": NasBench201().enumerate()[:40], "c.observed.9": 50.0 + np.arange(40)})
    frame["weak.a"] = np.arange(40.0)
    write_table(frame, folder / "whole.parquet", TableMetadata("nasbench201"))
    content = (folder / "whole.parquet").read_bytes()

    def opened(path: Path) -> None:
        table = BenchmarkTable.open(path)
        table.check()
        for name in table.columns:
            table.column(name)

    yield "table", Target(cut_and_flipped([content]), reads_file(folder, "x.parquet", opened), 3)
    yield "labels", Target(cut_and_flipped([content]), reads_file(folder, "y.parquet", WeakLabels.load), 2)


def configurations(_: Path) -> Iterator[tuple[str, Target]]:
    """Values of keys on the command line, and command lines."""
    experiments = [name for name in EXPERIMENTS if name in ("debug", "final", "digits_live")]
    every = [(experiment, key) for experiment in experiments for key in keys(composed(experiment))]

    def read(value: tuple[tuple[str, str], str]) -> object:
        (experiment, key), written = value
        return tried(experiment, key, written)

    yield "configuration", Target(st.tuples(st.sampled_from(every), values), read, 2)


def run_files(folder: Path) -> Iterator[tuple[str, Target]]:
    """Files of a run's folder, read by `acenas.status` and `acenas.report`."""
    run = finished_run(folder / "runs", 1, ["loss=mse"], scored=True)
    (run / "status.json").write_text(
        '{"stage": "search", "trained": 2, "round": 1, "seconds": 3.5, "total": 4}'
    )
    console = Console(file=io.StringIO(), width=100)

    def read(_: Path) -> None:
        show([look_at(run)], folder, console)
        read_runs([folder / "runs"])

    for name in ("summary.json", "status.json", "config.yaml", ".hydra/overrides.yaml"):
        whole = (run / name).read_bytes()
        plain = yaml.safe_load(whole)
        content = st.one_of(cut_and_flipped([whole]), with_odd_values([plain]).map(as_json))
        yield f"run {name}", Target(content, restored(reads_file(run, name, read), run / name, whole))
    if parquet := sorted(run.glob("*.parquet")):
        for file in parquet:
            whole = file.read_bytes()
            reader = restored(reads_file(run, file.name, read), file, whole)
            yield f"run {file.name}", Target(cut_and_flipped([whole]), reader)


def restored(read: Callable[[bytes], object], file: Path, whole: bytes) -> Callable[[bytes], object]:
    """Returns `read`, which leaves `file` as it was."""

    def reader(content: bytes) -> object:
        try:
            return read(content)
        finally:
            file.write_bytes(whole)

    return reader


def images(folder: Path) -> Iterator[tuple[str, Target]]:
    """Encoded images."""
    noise = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
    examples = []
    for kind, mode in (
        ("PNG", "RGB"),
        ("JPEG", "RGB"),
        ("WEBP", "RGB"),
        ("PNG", "RGBA"),
        ("PNG", "P"),
        ("GIF", "P"),
    ):
        Image.fromarray(noise).convert(mode).save(buffer := io.BytesIO(), kind)
        examples.append(buffer.getvalue())
    Image.fromarray(noise[..., 0].astype(np.uint16) * 256).save(buffer := io.BytesIO(), "PNG")
    examples.append(buffer.getvalue())

    def read(content: bytes) -> None:
        with open_image(io.BytesIO(content)) as image:
            pixels(converted(image, "RGB"))

    yield "image", Target(cut_and_flipped(examples), read, 8, DAMAGE)


class _Parsed(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)


def pages(_: Path) -> Iterator[tuple[str, Target]]:
    """Text that is shown in pages, tables and documents."""
    signs = ["<", ">", "&", '"', "'", "|", "`", "\\", "\n", "\r", "$", "=", "@", "a", "<!--"]
    hostile = st.one_of(st.text(), st.lists(st.sampled_from(signs)).map("".join), _odd)

    def read(value: Any) -> None:
        for text in (one_line(value), markdown(value), code(value), latex(value)):
            assert len(text.splitlines()) <= 1 and "<script" not in markdown(value)
        tags = _Parsed(html_table(str(value), {str(value): str(value)})).tags
        assert tags == ["table", "caption", "tr", "th", "td"]
        shown = cell(value)
        assert not (isinstance(shown, str) and shown[:1] in "=+-@\t\r" and shown)

    yield "text", Target(hostile, read, 12)


def architectures(_: Path) -> Iterator[tuple[str, Target]]:
    """Strings that are to be architectures."""
    for space in (NasBench101(), NasBench201(), NDS("darts", "cifar10"), MobileNet()):
        archs = [arch.encode() for arch in space.sample(5, torch.Generator().manual_seed(0))]

        def read(content: bytes, space: Any = space) -> None:
            text = content.decode(errors="replace")
            space.validate(text)
            space.canonical(text)

        yield f"architecture {space.name}", Target(cut_and_flipped(archs), read, 2)


KINDS = (importers, tables, configurations, run_files, images, pages, architectures)


def targets(folder: Path) -> dict[str, Target]:
    """All readers by name; their files lie in `folder`."""
    found: dict[str, Target] = {}
    for number, kind in enumerate(KINDS):
        (own := folder / str(number)).mkdir()
        found |= dict(kind(own))
    return found


# --- the fuzzer ---


def wrong_with(target: Target, value: Any) -> str:
    """Reads one input; what is wrong with how that ended, in a line, empty for nothing."""
    try:
        with limited(), redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(value)
    except target.refusals as error:
        return "" if len(str(error)) < 2000 else f"a message of {len(str(error))} characters"
    except (Exception, Slow) as error:
        where = traceback.extract_tb(error.__traceback__)
        ours = [
            f"{Path(frame.filename).name}:{frame.lineno}" for frame in where if "/acenas/" in frame.filename
        ]
        return f"{type(error).__name__} in {ours[-1] if ours else 'a library'}: {str(error)[:200]}"
    return ""


def fuzz(name: str, target: Target, count: int, number: int, kept: Path, current: Path) -> Counter[str]:
    """Gives `count` inputs to a reader; what was wrong, and how often. Inputs that failed lie in `kept`."""
    found: Counter[str] = Counter()

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs)
    def give(value: Any) -> None:
        found["inputs"] += 1
        content = as_pickle(value)
        current.write_bytes(content)
        if wrong := wrong_with(target, value):
            where = wrong.partition(": ")[0]
            if not found[where]:
                print(f"{name}: {wrong}")
                keep(kept, name, content)
            found[where] += 1

    give()
    return found


def keep(kept: Path, name: str, content: bytes) -> None:
    """Writes an input that failed to the folder of its reader."""
    file = kept / name.replace(" ", "-") / hashlib.sha256(content).hexdigest()[:12]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def in_a_process(name: str, target: Target, count: int, number: int, kept: Path) -> Counter[str]:
    """Fuzzes a reader in a process of its own, which may crash."""
    with tempfile.TemporaryDirectory() as folder:
        current, answer = Path(folder, "current"), Path(folder, "answer")
        if (process := os.fork()) == 0:
            try:
                os.fsync = lambda _: None  # type: ignore[assignment] # these files need not outlive a crash
                limit_memory()
                answer.write_text(json.dumps(fuzz(name, target, count, number, kept, current)))
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(0)
        _, status = os.waitpid(process, 0)
        if answer.exists():
            return Counter(json.loads(answer.read_text()))
        if current.exists():
            keep(kept, name, current.read_bytes())
        return Counter({f"the process ended with status {os.waitstatus_to_exitcode(status)}": 1})


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--targets", help="names of readers, by commas; all by default")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--kept", type=Path, default=CORPUS, help="folder of inputs that failed")
    options = parser.parse_args(arguments)
    failures = inputs = 0
    with tempfile.TemporaryDirectory() as folder:
        found = targets(Path(folder))
        chosen = options.targets.split(",") if options.targets else list(found)
        whole = sum(found[name].share for name in chosen)
        for name in chosen:
            count = math.ceil(options.inputs * found[name].share / whole)
            start = time.monotonic()
            counts = in_a_process(name, found[name], count, options.seed, options.kept)
            inputs += (read := counts.pop("inputs", 0))
            failures += counts.total()
            seconds, wrong = time.monotonic() - start, dict(counts) or "none failed"
            print(f"{name}: {read:,} inputs in {seconds:.0f} s; {wrong}", flush=True)
    print(f"{inputs:,} inputs, seed {options.seed}: {failures} failed")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
