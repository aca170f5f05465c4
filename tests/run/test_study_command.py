"""The command `python -m acenas.study`: CSV in and out, each call another process."""

import io
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from acenas.run.commands.study import main
from acenas.spaces import Choices
from tests.integration.conftest import environment

SPACE = """\
choices:
  width: [16, 32, 64]
  block: {choices: {kernel: [3, 5, 7], kind: [conv, mbconv]}, times: [1, 2]}
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.yaml").write_text(SPACE)
    assert (
        main(["new", "lab", "--space", "space.yaml", "--budget", "6", "--objective", "min perplexity"]) == 0
    )
    return tmp_path / "lab"


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> pd.DataFrame:
    capsys.readouterr()
    assert main(["ask", "lab", *arguments]) == 0
    return pd.read_csv(io.StringIO(capsys.readouterr().out))


def test_asked_and_told_by_csv(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trials = asked(capsys, "--count", "4")
    assert {"trial", "width", "block.0.kernel", "arch", "perplexity", "failed"} <= set(trials.columns)
    assert trials["trial"].tolist() == [0, 1, 2, 3]
    assert asked(capsys, "--pending")["arch"].tolist() == trials["arch"].tolist()
    trials["perplexity"] = [30.5, None, None, None]
    trials["failed"] = ["", "out of memory", "", ""]
    trials.to_csv("results.csv", index=False)
    assert main(["tell", "lab", "results.csv"]) == 0
    assert capsys.readouterr().out == "2 told, 2 rows without a result left out\n"
    for trial in "23":
        assert main(["fail", "lab", trial, "diverged"]) == 0
    assert main(["show", "lab"]) == 0
    out = capsys.readouterr().out
    assert "4 of 6 trainings told, 3 of them failed" in out and "perplexity 30.5\n" in out
    assert main(["report", "lab"]) == 0 and (lab / "report.html").exists()
    while len(trials := asked(capsys)):
        trials.assign(perplexity=20.0).to_csv("results.csv", index=False)
        assert main(["tell", "lab", "results.csv"]) == 0
    assert len(asked(capsys, "--budget", "8"))


def test_rows_are_found_by_architecture_or_choices(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trials = asked(capsys).assign(perplexity=[10.0, 11.0, 12.0, 13.0])
    by_choices = trials.drop(columns=["trial", "arch"])[:1]
    renumbered = trials.assign(trial=[3.0, 2.0, 0.0, 1.0])  # as a spreadsheet may write them, and sort them
    for frame in (by_choices, renumbered):
        frame.to_csv("results.csv", index=False)
        assert main(["tell", "lab", "results.csv"]) == 0
    told = pd.read_parquet(lab / "observations.parquet")
    assert told["arch"].tolist()[:4] == trials["arch"].tolist()
    assert told["observed_perplexity"].tolist()[:4] == [10.0, 11.0, 12.0, 13.0]
    asked(capsys, "--count", "1")
    assert main(["fail", "lab", "4"]) == 0


def test_an_empty_cell_is_a_choice_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.yaml").write_text("choices: {norm: [null], act: [relu, gelu]}")
    assert main(["new", "lab", "--space", "space.yaml", "--budget", "2"]) == 0
    trials = asked(capsys).assign(accuracy=[80.0, 90.0]).drop(columns=["trial", "arch"])
    trials.to_csv("results.csv", index=False)
    assert main(["tell", "lab", "results.csv"]) == 0
    (tmp_path / "space.yaml").write_text("choices: {trial: [1, 2]}")
    assert main(["new", "other", "--space", "space.yaml", "--budget", "2"]) == 2
    assert "a choice is called trial, as a column of the trials is" in capsys.readouterr().err


def test_what_was_given_costs_nothing(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pd.DataFrame(
        {"width": [16], "block.0.kernel": [3], "block.0.kind": ["conv"], "perplexity": [12.0]}
    ).to_csv("last_month.csv", index=False)
    assert main(["give", "lab", "last_month.csv"]) == 0
    assert main(["show", "lab"]) == 0
    assert "returned: width=16,block=(kernel=3,kind=conv): perplexity 12\n" in capsys.readouterr().out
    assert "width=16,block=(kernel=3,kind=conv)" not in asked(capsys)["arch"].tolist()


def test_mistakes_are_told_and_the_rest_is_kept(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trials = asked(capsys)
    trials["perplexity"] = ["12.5", "fast", "nan", "nan"]
    trials["trial"] = [0, 1, 2, 3]
    trials.to_csv("results.csv", index=False)
    assert main(["tell", "lab", "results.csv"]) == 2
    captured = capsys.readouterr()
    assert "3 told" in captured.out and "row 2: perplexity must be a number, not 'fast'" in captured.err
    Path("other.csv").write_text("a,b\n1,2\n")
    for arguments, message in (
        (["tell", "lab", "none.csv"], "there is no file none.csv"),
        (["tell", "lab", "other.csv"], "it needs a column trial or arch"),
        (["ask", "none"], "holds no study of this command"),
        (["new", "lab", "--space", "space.yaml"], "holds a study already"),
        (["new", "lab2", "--space", "space"], "give a YAML file"),
        (["new", "lab2", "--space", "none.yaml"], "cannot be read"),
        (["new", "lab2", "--space", "none:space"], "cannot be imported"),
        (["new", "lab2", "--space", "space.yaml", "--constraint", "params_m"], "params_m=2.5"),
        (["new", "lab2", "--space", "space.yaml", "--objective", "perplexity"], "max or min"),
        (["fail", "lab", "17", "diverged"], "no trial 17"),
        (["ask", "lab", "--budget", "2"], "raised, not lowered"),
    ):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err
    (lab / "space.yaml").write_text("choices: {width: [1, 2]}")
    assert main(["ask", "lab"]) == 2
    assert "another space" in capsys.readouterr().err


def test_a_space_of_a_module_or_of_any_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path)
    (tmp_path / "my_own_space.py").write_text(
        "import acenas\nspace = acenas.Choices({'width': [16, 32], 'depth': [1, 2]})\ndef make():\n    return space\n"
    )
    for name in ("space", "make"):
        assert main(["new", name, "--space", f"my_own_space:{name}", "--budget", "2"]) == 0
        capsys.readouterr()
        assert main(["ask", name]) == 2
        assert "is not run; trust its module if you know it" in capsys.readouterr().err
        assert main(["ask", name, "--trust", "my_own_space"]) == 0
    (tmp_path / "any.yaml").write_text("_target_: acenas.spaces.NasBench201")
    assert main(["new", "any", "--space", "any.yaml", "--budget", "2"]) == 0
    (tmp_path / "conf/space").mkdir(parents=True)
    (tmp_path / "any.yaml").rename("conf/space/mine.yaml")
    monkeypatch.setenv("ACENAS_CONF", "conf")
    assert main(["new", "named", "--space", "mine", "--budget", "2"]) == 0
    for text in (
        "[1]",
        "{a: 1}",
        "{_target_: acenas.spaces.Choice, values: [1]}",
        "{choices: {a: [1, 2]}, no: 1}",
    ):
        (tmp_path / "wrong.yaml").write_text(text)
        assert main(["new", "wrong", "--space", "wrong.yaml"]) == 2
    assert not (tmp_path / "wrong").exists()


@pytest.mark.slow
def test_as_a_user_types_it(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(SPACE)
    assert Choices(**yaml.safe_load(SPACE)).size == 126

    def run(*arguments: str, **more: object) -> str:
        command = [sys.executable, "-m", "acenas.study", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True, **more
        )  # type: ignore[call-overload]
        return str(done.stdout)

    run("new", "lab", "--space", "space.yaml", "--budget", "3")
    trials = pd.read_csv(io.StringIO(run("ask", "lab"))).assign(accuracy=[90.0, 91.0, 92.0])
    assert run("tell", "lab", input=trials.to_csv(index=False)) == "3 told\n"
    assert "3 of 3 trainings told" in run("show", "lab")
