"""The short form of the harness; `make faults` is the long one."""

from pathlib import Path

import pytest

from tests.faults import kills


@pytest.mark.slow
def test_forty_kills_lose_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = ("table", "live", "final", "export", "report", "joblib")
    with capsys.disabled():
        assert kills.main([str(tmp_path), "--kills", "40", "--seed", "0", "--jobs", ",".join(jobs)]) == 0
    rows = kills.rows(tmp_path, "kills")
    assert len(rows) == 40 and {row["job"] for row in rows} == set(jobs)
    assert {row["signal"] for row in rows} == set(kills.SIGNALS)
    assert {"pretrain", "search"} <= {row["stage"] for row in rows}


def test_what_a_kill_may_spoil_is_noticed(tmp_path: Path) -> None:
    """Every difference that the harness looks for."""
    (run := tmp_path / "run").mkdir()
    (temporary := tmp_path / "run.tmp").mkdir()
    (run / "summary.json").write_text('{"trained": 4, "seconds": {"total": 1}}')
    (run / "run.log").write_text("a log")
    whole = kills.content(run)
    assert list(whole) == ["summary.json"] and not list(kills.left_behind(run, set(kills.SHM.iterdir())))
    (run / "summary.json").write_text('{"trained": 4, "seconds": {"total": 2}}')
    assert kills.content(run) == whole, "the clock may differ"
    (run / "summary.json").write_text('{"trained": 5, "seconds": {"total": 1}}')
    assert kills.content(run) != whole
    expected = {"same": whole, "differ": []}
    assert kills.differences(run, expected) == ["another content: summary.json"]
    (run / "summary.json").rename(run / "other.json")
    assert kills.differences(run, expected) == [
        "missing: summary.json",
        "not in an undisturbed run: other.json",
    ]
    (run / "a.json.tmp").touch()
    (temporary / "b").touch()
    assert set(kills.left_behind(run, set(kills.SHM.iterdir()))) == {run / "a.json.tmp", temporary / "b"}
