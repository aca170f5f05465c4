"""The public names: what `import acenas` promises, and what it costs."""

import ast
import pydoc
import subprocess
import sys
from pathlib import Path

import pytest

import acenas
import acenas.search.rounds
from acenas.run.api import search


def test_every_name_is_listed_and_there() -> None:
    listed = [line.split()[0] for line in (acenas.__doc__ or "").splitlines() if line.startswith("    ")]
    assert set(acenas.__all__) == {
        name for name in listed if name.isidentifier() and name not in ("run", "study")
    }
    assert set(acenas.__all__) <= set(dir(acenas))
    for name in acenas.__all__:
        assert getattr(acenas, name).__doc__
    help_text = pydoc.plain(pydoc.render_doc(acenas))
    assert all(name in help_text for name in acenas.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        acenas.nothing  # noqa: B018


@pytest.mark.parametrize("package", ["acenas", "acenas.search"])
def test_names_have_the_types_that_are_declared(package: str) -> None:
    """What type checkers see is what is loaded."""
    module = sys.modules[package]
    (block,) = [
        node for node in ast.parse(Path(module.__file__ or "").read_text()).body if isinstance(node, ast.If)
    ]
    declared = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(declared) == sorted(module.__all__)
    for name, home in declared.items():
        if name != "search":  # a room that can be called, see below
            __import__(home or "")
            assert getattr(module, name) is getattr(sys.modules[home or ""], name)


def test_search_is_a_room_and_a_function() -> None:
    assert sys.modules["acenas.search"] is acenas.search  # type: ignore[comparison-overlap]
    with pytest.raises(acenas.UserError, match=r"search\.budget=0"):
        acenas.search(budget=0)
    with pytest.raises(acenas.UserError, match=r"search\.budget=0"):
        search(budget=0)


def test_importing_takes_no_time() -> None:
    code = (
        "import time; start = time.process_time(); import acenas; seconds = time.process_time() - start;"
        "import sys; print(seconds, [m for m in ('torch', 'numpy', 'hydra', 'pandas') if m in sys.modules])"
    )
    fastest = float("inf")
    for _ in range(5):  # other tests run beside it
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        seconds, heavy = out.split(maxsplit=1)
        assert heavy.strip() == "[]"
        fastest = min(fastest, float(seconds))
    assert fastest < 0.05


def test_a_search_a_report_and_the_library_need_nothing_of_unix_alone(tmp_path: Path) -> None:
    """They run where modules are missing that Windows lacks: with those blocked for this package."""
    code = """
import builtins

UNIX = {"fcntl", "grp", "pwd", "resource", "termios", "pty"}
imported = builtins.__import__

def blocked(name, globals=None, *rest, **more):
    if name in UNIX and (globals or {}).get("__name__", "").startswith("acenas"):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return imported(name, globals, *rest, **more)

builtins.__import__ = blocked

import sys
import acenas
for name in acenas.__all__:
    getattr(acenas, name)
import acenas.executors.slurm, acenas.report.command, acenas.run.commands.status, acenas.run.pipeline
run = acenas.search(
    budget=4, folder=sys.argv[1],
    overrides=["ranker=observed", "weak_labels=[]", "logger.mode=disabled", "search.per_round=4"],
)
print(run)
assert acenas.report.command.main([str(run.folder), "--out", sys.argv[1] + "/compared"]) == 0
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "4 architectures trained" in done.stdout


@pytest.mark.parametrize(
    "arguments", [["-m", "acenas", "--version"], ["-m", "acenas", "--version", "seed=1"]]
)
def test_the_version_is_that_of_this_package(arguments: list[str], tmp_path: Path) -> None:
    out = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert out.stdout == f"acenas {acenas.__version__}\n"
    assert not list(tmp_path.iterdir())
