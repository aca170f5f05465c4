"""Inputs that readers once failed on, and a few thousand new ones; `make faults` tries 100,000."""

import pickle
from pathlib import Path

import pytest
from hypothesis.strategies import none

from tests.faults import hostile

KEPT = sorted(path for path in hostile.CORPUS.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, hostile.Target]:
    found = hostile.targets(tmp_path_factory.mktemp("hostile"))
    return {name.replace(" ", "-"): target for name, target in found.items()}


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_once_failed_is_read_or_refused(readers: dict[str, hostile.Target], path: Path) -> None:
    assert hostile.wrong_with(readers[path.parent.name], pickle.loads(path.read_bytes())) == ""


def test_what_is_wrong_is_noticed() -> None:
    """An error that is no sentence, one that takes too long, one of a thousand lines."""

    def fails(value: str) -> None:
        if value == "slow":
            while True:
                pass
        raise {"error": KeyError, "sentence": ValueError}[value.split()[0]](value)

    target = hostile.Target(none(), fails, refusals=(ValueError,))
    assert hostile.wrong_with(target, "sentence") == ""
    assert hostile.wrong_with(target, "error").startswith("KeyError in ")
    assert "characters" in hostile.wrong_with(target, "sentence " * 1000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hostile, "SECONDS", 0.2)
        assert hostile.wrong_with(target, "slow").startswith("Slow in ")


@pytest.mark.slow
def test_two_thousand_hostile_inputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        assert hostile.main(["--inputs", "2000", "--kept", str(tmp_path / "kept")]) == 0
