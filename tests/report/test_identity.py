"""What runs are called, where they say it and where they do not."""

import json
import shlex
from pathlib import Path

import pytest
import yaml

from acenas import __version__
from acenas.report import runs
from acenas.report.identity import Identity, identity, identity_of, read_identity
from tests.report.runs import finished_run


def begun(folder: Path, *overrides: str, named: tuple[str, str] | None = None) -> Identity:
    file = folder / runs.OVERRIDES
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(list(overrides)))
    return identity(folder, "nb201_ltr", "nb201 cifar10", 3, ["--config-dir=own"], named)


def test_a_run_is_called_by_what_a_person_asked_for(tmp_path: Path) -> None:
    overrides = [
        "experiment=nb201_ltr", "table=nb201", "table.dataset=cifar10", "loss=mse", "+search.x=a b", "seed=3",
        "data_dir=/data", "logger.mode=disabled", "take_over=false",
    ]  # fmt: skip
    found = begun(tmp_path, *overrides)
    assert found.method == "nb201_ltr, loss=mse, +search.x=a b"
    assert found.title == "nb201_ltr, loss=mse, +search.x=a b on nb201 cifar10"
    assert shlex.split(found.command) == ["python", "-m", "acenas", "--config-dir=own", *overrides]
    assert (found.seed, found.experiment, found.version) == (3, "nb201_ltr", __version__)
    assert not found.benchmark and begun(tmp_path).method == "nb201_ltr"


def test_a_benchmarks_run_is_called_as_its_method(tmp_path: Path) -> None:
    found = begun(tmp_path, "experiment=nb201_ltr", "search=random", named=("random", "digits"))
    assert (found.title, found.benchmark) == ("random on digits", True)


def test_what_is_written_is_read_and_a_run_that_goes_on_began_when_it_began(tmp_path: Path) -> None:
    first = Identity("a", "t", 1, date="2026-01-01 00:00")
    first.write(tmp_path)
    assert read_identity(tmp_path) == first
    Identity("b", "t", 1, date="2026-02-02 00:00").write(tmp_path)
    assert read_identity(tmp_path) == Identity("b", "t", 1, date="2026-01-01 00:00")


def test_a_run_of_an_earlier_version_is_called_by_its_overrides(tmp_path: Path) -> None:
    folder = finished_run(tmp_path, 4, ["loss=mse", "table=nb201"])
    found = identity_of(folder, runs.finished(folder))
    assert found == Identity("demo, loss=mse", "nb201 cifar10", 4, experiment="demo")


WHOLE = dict.fromkeys(Identity.__dataclass_fields__, "") | {"seed": 1, "benchmark": False}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        '{"method": "a"}',
        json.dumps(WHOLE | {"method": 3}),
        json.dumps(WHOLE | {"task": "\ud800"}),
    ],
)
def test_what_is_damaged_hides_no_run(tmp_path: Path, content: str) -> None:
    (tmp_path / runs.IDENTITY).write_text(json.dumps(WHOLE))
    assert read_identity(tmp_path) is not None
    (tmp_path / runs.IDENTITY).write_text(content)
    assert read_identity(tmp_path) is None
