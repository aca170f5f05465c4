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
    "errors": -1, "seeds": 0, "files": 0, "pickles": 0, "runs": 1, "status": 2, "sweeps": 2,
    "executors": 1,
    "networks": 1, "images": 1, "tables": 1, "ranking": 1,
    "spaces": 2, "callbacks": 2,
    "report": 3, "supernet": 3, "evaluation": 3, "ranker": 3,
    "baselines": 4, "final": 4,
    "search": 5, "config": 5, "costs": 5, "export": 5, "found": 6, "pipeline": 7,
    "__main__": 8, "benchmark": 9, "latency": 9,
}  # fmt: skip
ENTRY_POINTS = {  # commands of their own, which put together what lies on higher floors
    Path("tables/__main__.py"), Path("final/__main__.py"), Path("export/__main__.py"),
}  # fmt: skip

ONLY_IN = {
    "hydra": {"__main__", "pipeline", "found", "benchmark", "latency", "sweeps"},
    "omegaconf": {"__main__", "pipeline", "found", "config", "benchmark", "latency", "sweeps"},
    "wandb": {"callbacks", "report"},
}
NEVER_IN = {
    room: {"pytorch_lightning", "lightning", "hydra", "omegaconf", "wandb"}
    for room in ("ranking", "networks", "spaces")
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
        if top == "acenas" and rest and rest[0] != room and path.relative_to(ROOT) not in ENTRY_POINTS:
            assert FLOORS[rest[0]] < FLOORS[room], f"{path} on floor {FLOORS[room]} imports {module}"


def test_a_configuration_is_checked_before_heavy_imports() -> None:
    heavy = ("torch", "pytorch_lightning", "wandb")
    code = f"import acenas.__main__, sys; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
