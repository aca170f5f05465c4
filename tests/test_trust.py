"""Opening a stranger's folder runs nothing that its configuration names."""

import ast
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import acenas
from acenas import SearchRun, UserError
from acenas.run.commands import export, final, study
from acenas.trust import build, import_name, trusting
from tests.report.runs import CELL, finished_run

MINE = """
import os
from pathlib import Path

Path(__file__).with_name("imported").touch()
GRAPHS = {"a": (["input", "output"], [(0, 1)])}

def make(**choices):
    Path(__file__).with_name("called").touch()

class Space:
    pass
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that a stranger has put beside the run's folder."""
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return tmp_path


CHOICES = {"_target_": "acenas.spaces.Choices", "choices": {"touch": [1, 2], "PWNED": [1, 2]}}
NAMED: dict[str, dict[str, Any]] = {
    "a function": {"_target_": "mine.make"},
    "a class": {"_target_": "mine.Space"},
    "a module's own import": {"_target_": "mine.os.system", "command": "touch called"},
    "a pickle": {"_target_": "pandas.read_pickle", "filepath_or_buffer": "called"},
    "a function of this package": {"_target_": "acenas.files.write_text", "path": "called", "text": ""},
    "a function of an own room": {"_target_": "acenas.spaces.custom.named", "key": "", "given": "mine.make"},
    "an import of an own room": {"_target_": "acenas.spaces.custom.import_name", "name": "mine.make"},
    "a method": {"_target_": "acenas.spaces.base.SearchSpace.__subclasses__"},
    "a metaclass": {"_target_": "acenas.spaces.NasBench201.__class__", "_args_": ["X", [], {}]},
    "an executor": {"_target_": "acenas.executors.LocalProcesses"},
    "a builtin": {"_target_": "builtins.exec", "_args_": ["open('called', 'w')"]},
    "build of choices": {**CHOICES, "build": "mine.make"},
    "canonical of choices": {**CHOICES, "canonical": "subprocess.Popen"},
    "read of choices": {**CHOICES, "read": "mine:make"},
    "example of choices": {**CHOICES, "example_input": "mine.make"},
    "read of graphs": {"_target_": "acenas.spaces.Graphs", "read": "mine.GRAPHS"},
    "sample of graphs": {"_target_": "acenas.spaces.Graphs", "read": {}, "sample": "mine.make"},
    "a part": {"_target_": "acenas.spaces.MobileNet", "skeleton": {"_target_": "mine.make"}},
    "a part of a list": {"_target_": "acenas.spaces.MobileNet", "skeleton": [[{"_target_": "mine.make"}]]},
    "a partial": {"_target_": "mine.make", "_partial_": True},
}


@pytest.mark.parametrize("named", NAMED.values(), ids=NAMED)
def test_nothing_is_imported_or_called(named: Mapping[str, Any], mine: Path) -> None:
    with pytest.raises(UserError, match=r"is not run; trust its module if you know it \(--trust "):
        build(dict(named), [])
    assert not (mine / "imported").exists() and not (mine / "called").exists()


@pytest.mark.parametrize("named", [*NAMED.values(), 5, None, [], "${oc.env:HOME}"], ids=str)
@pytest.mark.parametrize("group", ["space", "images", "final", "recipe"])
def test_no_command_runs_what_a_folder_names(
    group: str, named: object, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = finished_run(mine / "runs", 0)
    trained = {
        "space": {"_target_": "acenas.spaces.NasBench201"},
        "images": {"_target_": "acenas.images.ImageTask", "source": {"_target_": "acenas.images.Digits"}},
        "recipe": {
            "_target_": "acenas.training.recipe.Recipe",
            "epochs": 1,
            "batch_size": 8,
            "learning_rate": 0.1,
        },
        "evaluator": {"recipe": {}, "seed": 0},
        "search": {"_target_": "acenas.search.BudgetedSearch"},
        "table": None,
    }
    if group == "final":
        trained |= {"final": {}, "search": None, "arch": CELL, "from_run": None}
    (folder / "config.yaml").write_text(yaml.safe_dump(trained | {group: named}))
    checkpoint = ["--checkpoint", "none.ckpt"] if group == "final" else []
    assert final.main([str(folder), *checkpoint, "--accelerator", "cpu"]) == 2
    if not checkpoint:
        assert export.main([str(folder), "--formats", "torchscript"]) == 2
    if group == "space":
        with pytest.raises(UserError):
            SearchRun(folder).draw()
    assert "Traceback" not in capsys.readouterr().err
    assert not (mine / "imported").exists() and not (mine / "called").exists()


@pytest.mark.parametrize(
    "described",
    [
        {"object": "mine:make"},
        {"object": "mine.make"},
        *NAMED.values(),
        {"choices": {"a": [1]}, "build": "mine.make"},
    ],
    ids=str,
)
def test_no_study_runs_what_its_folder_names(described: dict[str, object], mine: Path) -> None:
    (mine / "lab").mkdir()
    (mine / "lab" / "space.yaml").write_text(yaml.safe_dump(described))
    (mine / "lab" / "study.json").write_text('{"seed": 0}')
    for command in ("ask", "show", "report"):
        assert study.main([command, "lab"]) == 2
    assert not (mine / "imported").exists() and not (mine / "called").exists()


def test_what_is_trusted_is_run(mine: Path) -> None:
    made = build({**CHOICES, "build": "mine.make"}, ["mine"])
    assert (mine / "imported").exists() and not (mine / "called").exists()
    made.build("touch=1,PWNED=2")
    assert (mine / "called").exists()
    assert build({"_target_": "acenas.spaces.Graphs", "read": "mine.GRAPHS"}, ["mine"]).enumerate() == ["a"]
    with trusting(["mine"]), pytest.raises(UserError, match="is not run"):
        import_name("mine.os.system")
    with trusting(["mine.py"]), pytest.raises(UserError):
        import_name("mine.make")


def test_only_one_function_imports_what_a_text_names() -> None:
    found = set()
    for path in Path(acenas.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and not all(isinstance(each, ast.Constant) for each in node.args):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if name in (
                    "import_module",
                    "resolve_name",
                    "__import__",
                    "get_object",
                    "get_class",
                    "locate",
                ):
                    found.add(f"{path.stem}.{name}")
    # Packages by their constant names, and public names of this one.
    allowed = {"lazy.import_module", "export.import_module", "regression.import_module"}
    assert found <= {"trust.resolve_name", *allowed}
