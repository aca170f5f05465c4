"""Every code block of README.md and of docs/ runs, so that none can go stale.

The blocks of a page run in order in one folder, as a reader would run them: shell blocks in bash, Python blocks in one
interpreter, YAML blocks are written to the file that their first line names. Official files and benchmarks are small
stand-ins. What is special about a block stands in a comment above it:

    <!-- test: [slow] [root] [needs PROGRAM] [with ARGUMENTS] -->    or    <!-- test: compose; WHY -->

`slow`: runs in the slow tests alone. `root`: runs in the clone's root. `needs`: is skipped where there is no such
program, or no cluster (`slurm`). `with`: these arguments are added to every command, in place of its own of the same
name, mostly to make it small.
`compose`: is not run, since WHY; its configuration is composed and checked. The fast tests compose that of every other
command, too.
"""

import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from json import dumps
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, RangeSweep
from markdown_it import MarkdownIt

import acenas
from acenas.executors.local import end_idle
from acenas.run.config import check_config, conf_dir
from acenas.spaces import MobileNet, NasBench201
from tests.integration.conftest import environment
from tests.tables import stand_ins
from tests.tables.importers import test_acenas, test_nasbench101, test_nasbench201, test_nds, tfrecords

ROOT = Path(acenas.__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MARKER = re.compile(
    r"<!-- test:(?P<compose> compose; .+)?(?P<slow> slow)?(?P<root> root)?"
    r"( needs (?P<needs>\S+))?( with (?P<extra>.+))? -->"
)
HYDRA = re.compile(r"python -m acenas(?P<program>\.benchmark|\.latency)? (?P<arguments>.*)")


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    code: str
    compose: str | None = None
    slow: str | None = None
    root: str | None = None
    needs: str | None = None
    extra: str | None = None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def commands(self) -> list[str]:
        """The lines of a shell block, continued ones joined, without comments."""
        lines = self.code.replace("\\\n", " ").splitlines()
        return [line for line in (re.sub(r"(^|\s+)# .*$", "", line) for line in lines) if line]

    def script(self) -> str:
        """What bash gets: the commands, each with the arguments that the test adds, for its own of that name."""
        commands, extra = self.commands(), self.extra or ""
        for name in re.findall(r"(\S+)=", extra):  # two sweeps of one key would be multiplied
            commands = [re.sub(rf" {re.escape(name)}=\S+", "", command) for command in commands]
        return "\n".join(c if re.match(r"\w+=\$\(", c) else f"{c} {extra}" for c in commands)


def blocks_of(path: Path) -> Iterator[Block]:
    """The code blocks of a page. Raises `AssertionError` for a comment that is no marker, or stands above no block."""
    marker: re.Match[str] | None = None
    for token in MarkdownIt().parse(path.read_text(encoding="utf-8")):
        page, line = str(path.relative_to(ROOT)), token.map[0] + 1 if token.map else 0
        where = f"{page}:{line}"
        if token.type == "fence":
            options = marker.groupdict() if marker else {}
            yield Block(page, line, token.info, token.content, **options)
            marker = None
            continue
        assert marker is None, f"{where}: the marker above stands before no block"
        assert token.type != "code_block", f"{where}: a block without a fence would not be run"
        if token.type == "html_block" and "test:" in token.content:
            marker = MARKER.fullmatch(token.content.strip())
            assert marker, f"{where}: {token.content} is no marker"


BLOCKS = [block for path in PAGES for block in blocks_of(path)]
SHELL = [block for block in BLOCKS if block.language == "sh" and any(map(HYDRA.search, block.commands()))]
RUN = [block for block in BLOCKS if block.language != "text" and not block.compose]


def test_every_block_is_of_one_kind() -> None:
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        page = str(path.relative_to(ROOT))
        of_page = [block for block in BLOCKS if block.page == page]
        assert len(re.findall(r"^\s*(?:```|~~~)", text, re.MULTILINE)) == 2 * len(of_page), (
            f"{page}: a hidden block"
        )
        assert text.count("<!-- test:") == sum(
            any((b.compose, b.slow, b.root, b.needs, b.extra)) for b in of_page
        )
    for block in BLOCKS:
        assert block.language in ("sh", "python", "yaml", "text"), f"{block}: nothing runs {block.language}"
        assert block in RUN or block in SHELL or block.language == "text", f"{block} is not tested"
        assert block.language == "sh" or not (block.extra or block.compose), f"{block} has no commands"
    assert len(BLOCKS) > 60


def composed(command: str, check: bool) -> None:
    """Composes each job of a command; checks it as the command itself does before it starts."""
    found = HYDRA.search(command)
    if not found or "--help" in command:
        return
    arguments = shlex.split(found["arguments"], comments=True)
    if "--config-dir" in arguments:
        at = arguments.index("--config-dir")
        arguments[at : at + 2] = [f"hydra.searchpath=[file://{Path(arguments[at + 1]).resolve()}]"]
    given = [a for a in arguments if a not in ("-m", "--cfg", "job")]
    values = []
    for override in OverridesParser.create().parse_overrides(given):
        name, value = override.get_key_element(), override.value()
        if isinstance(value, ChoiceSweep | RangeSweep):
            values.append([f"{name}={one}" for one in override.sweep_string_iterator()])
        elif override.is_sweep_override():  # an interval, of a hyper-parameter search
            values.append([f"{name}={value.start}"])  # type: ignore[union-attr]
        else:
            values.append([override.input_line or ""])
    jobs = max(map(len, values))  # every value in one of them
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        for job in range(jobs):
            cfg = compose((found["program"] or ".config")[1:], [v[job % len(v)] for v in values])
            if check:
                check_config(cfg)


@dataclass
class Page:
    """A page that is being followed."""

    folder: Path
    done: set[Block] = field(default_factory=set)
    namespace: dict[str, Any] = field(default_factory=dict)

    def follow(self, block: Block, env: dict[str, str]) -> None:
        """Runs `block` after those above it: a fast one after the fast ones, a slow one after all that can be run."""
        for one in itertools.takewhile(lambda b: b is not block, (b for b in RUN if b.page == block.page)):
            if one not in self.done and not one.needs and (block.slow or not one.slow):
                self.run(one, env)
        if block not in self.done and not block.compose:
            self.run(block, env)

    def run(self, block: Block, env: dict[str, str]) -> None:
        """Runs one block. Raises `AssertionError` where a command fails."""
        self.done.add(block)
        if block.language == "yaml":
            path = self.folder / block.code.splitlines()[0].removeprefix("# ")
            assert path.suffix == ".yaml", f"{block}: the first line names no file"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code, encoding="utf-8")
        elif block.language == "python":
            # Compiled with its line in the page, so that an error names it.
            exec(compile("\n" * block.line + block.code, ROOT / block.page, "exec"), self.namespace)
        else:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block.script()],
                cwd=ROOT if block.root else self.folder,
                env=env | ({"HOME": os.environ["HOME"]} if block.root else {}),
                capture_output=True,
                text=True,
                timeout=900,
            )
            assert done.returncode == 0, f"{block}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader has: `data`, the folder ACENAS_DATA, and in `own` the files that pages name without a folder."""
    root = tmp_path_factory.mktemp("reader")
    data, own, home = root / "data", root / "own", root / "home"
    for folder in (data, own, home):
        folder.mkdir()
    stand_ins.write_nb201(data)
    stand_ins.write_nb101(data)
    stand_ins.write_suite(data)
    stand_ins.write_nds(data, ("darts",))
    stand_ins.write_nds(
        data, ("darts",), ("cifar10",), widths=(2, 4), depths=(3, 4)
    )  # a super-net is trained on it
    tfrecords.write(data / "nasbench_only108.tfrecord", test_nasbench101.records((108,)))
    test_nasbench201.nats_folder(data / "NATS-tss-v1_0-3ffb9-simple")
    with zipfile.ZipFile(data / "nds_data.zip", "w") as archive:
        archive.writestr("nds_data/DARTS_in.json", dumps(darts_in()))
    mobile = MobileNet().sample(60, torch.Generator().manual_seed(0))
    stand_ins.write_tunas_csv(own / "tunas-proxylessnas-search.csv", mobile)
    known, weak = test_acenas.files(own)
    known.rename(own / "nasbench101_gt_all.pkl")
    weak.rename(own / "supernet_evaluate_all_test1_nasbench101.json")
    archs = NasBench201().canonical_all(NasBench201().sample(40, torch.Generator().manual_seed(0)))
    mine = pd.DataFrame({"arch": list(dict.fromkeys(archs))})
    for column in ("mine.valid.200", "mine.test.200", "mine.params_m", "weak.oneshot"):
        mine[column] = [50 + len(arch) / 10 + arch.count("conv") for arch in mine["arch"]]
    mine.to_csv(own / "mine.csv", index=False)
    return root


def darts_in() -> list[dict[str, Any]]:
    """Trainings of two networks of DARTS on ImageNet, in the form of the official file."""
    cell = [["sep_conv_3x3", 0], ["skip_connect", 1]] * 4
    genotype = {"normal": cell, "normal_concat": [2, 3, 4, 5], "reduce": cell, "reduce_concat": [2, 3, 4, 5]}
    records = [test_nds.record(test_nds.CHAIN, [60.0, 50.0, 40.0], width, 14) for width in (32, 48)]
    for record in records:
        record["net"]["genotype"] = genotype
    return records


@pytest.fixture(scope="module")
def pages(files: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    """Each with a folder of its own."""
    made = {}
    for block in BLOCKS:
        if block.page not in made:
            folder = tmp_path_factory.mktemp(Path(block.page).stem)
            shutil.copytree(files / "own", folder, dirs_exist_ok=True)
            made[block.page] = Page(folder)
    return made


@pytest.fixture
def reader(
    files: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[dict[str, str]]:
    """The environment variables of a reader, also those of this process while a block runs."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    own = {"ACENAS_DATA": str(files / "data"), "HOME": str(files / "home"), "PATH": path, "PYTHONPATH": paths}
    own |= {"VIRTUAL_ENV": sys.prefix}
    monkeypatch.setenv("ACENAS_DATA", own["ACENAS_DATA"])
    yield environment() | own | {"MPLBACKEND": "Agg"}
    end_idle()  # other processes would keep these variables


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_the_configuration_composes(
    block: Block, pages: dict[str, Page], reader: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pages[block.page].folder)
    for one in BLOCKS:
        if one.page == block.page and one.language == "yaml":
            pages[block.page].run(one, reader)
    for command in block.commands():
        composed(command, check=bool(block.compose))


@pytest.mark.parametrize(
    "block", [pytest.param(b, marks=pytest.mark.slow if b.slow else (), id=str(b)) for b in RUN]
)
def test_the_block_runs(
    block: Block,
    pages: dict[str, Page],
    reader: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    if block.needs == "slurm":
        reader |= request.getfixturevalue("slurm")
    elif block.needs and not shutil.which(block.needs, path=reader["PATH"]):
        pytest.skip(f"needs {block.needs}")
    monkeypatch.chdir(pages[block.page].folder)
    pages[block.page].follow(block, reader)
