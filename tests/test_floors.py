"""The layout is the architecture: imports only go down, and heavy frameworks stay where they belong."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import acenas

ROOT = Path(acenas.__file__).parent
FLOORS = {
    "errors": 0, "files": 0, "lazy": 0, "markup": 0, "seeds": 0, "trust": 0, "executors": 0, "ranking": 0,
    "images": 1, "spaces": 1, "tables": 1, "training": 1,
    "evaluation": 2, "ranker": 2, "supernet": 2,
    "search": 3,
    "report": 4,
    "run": 5,
    "__main__": 6, "benchmark": 6, "export": 6, "final": 6, "latency": 6, "new": 6, "status": 6,
    "study": 6,
}  # fmt: skip
ONLY_IN = {"hydra": {"run"}, "omegaconf": {"run"}, "wandb": {"report"}}
NEVER_IN = {
    room: {"pytorch_lightning", "lightning", "hydra", "omegaconf", "wandb"} for room in ("ranking", "spaces")
}


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: a relative import hides which room it reaches into"
            yield node.module


FILES = [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    room = room_of(path)
    assert room in FLOORS, f"{room} is not in the house; give it a floor"
    for module in imports(path):
        top, *rest = module.split(".")
        assert top != "lightning", f"{path}: import pytorch_lightning everywhere, never lightning beside it"
        assert room in ONLY_IN.get(top, {room}), f"{path} imports {top}"
        assert top not in NEVER_IN.get(room, set()), f"{path} imports {top}"
        assert top != "wandb" or path.parent.name == "live", f"{path}: only report/live knows W&B"
        if top == "acenas" and rest and rest[0] != room:
            assert FLOORS[rest[0]] <= FLOORS[room], f"{path} on floor {FLOORS[room]} imports {module}"


def test_a_configuration_is_checked_before_heavy_imports() -> None:
    heavy = ("torch", "pytorch_lightning", "wandb")
    code = f"import acenas.run.commands.run, sys; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_a_run_can_be_read_in_one_sitting() -> None:
    """What runs the stages in order fits on a page, and no class of a run does everything."""
    run = ROOT / "run"
    assert len((run / "pipeline.py").read_text().splitlines()) < 120
    classes = [n for path in run.rglob("*.py") for n in ast.walk(ast.parse(path.read_text()))]
    lengths = {
        n.name: n.end_lineno - n.lineno for n in classes if isinstance(n, ast.ClassDef) and n.end_lineno
    }
    assert len(lengths) > 10 and max(lengths.values()) < 150, lengths
