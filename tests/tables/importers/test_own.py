import gzip
from pathlib import Path
from types import SimpleNamespace
from typing import Literal, get_args

import numpy as np
import pandas as pd
import pytest
import torch

from acenas.errors import UserError
from acenas.spaces import NDS, LabelledGraphs, MobileNet, NasBench101, NasBench201, SearchSpace
from acenas.spaces.nds.space import FamilyName
from acenas.tables import BenchmarkTable, find_table
from acenas.tables.command import main
from acenas.tables.importers.own import Unit, import_own, read_rows

SPACE = NasBench201()
ARCHS = SPACE.enumerate()[:3]
FRAME = pd.DataFrame(
    {"cell": ARCHS, "a": [0.5, 0.75, 0.125], "t": [0.25, 0.5, 1.0], "p": [1, 2, 3], "note": "x"}
)
COLUMNS = {"cell": "arch", "a": "d.observed.9", "t": "d.test.9", "p": "d.params_m"}


def written(folder: Path, frame: pd.DataFrame, suffix: str = ".csv") -> Path:
    path = folder / f"mine{suffix}"
    if suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    ("unit", "observed"),
    [("fraction", [50, 75, 12.5]), ("percent", [50, 75, 12.5]), ("error", [50, 25, 87.5])],
)
def test_columns_are_renamed_and_accuracies_become_percent(
    tmp_path: Path, suffix: str, unit: Unit, observed: list[float]
) -> None:
    scale = 1 if unit == "fraction" else 100
    path = written(tmp_path, FRAME.assign(a=scale * FRAME.a, t=scale * FRAME.t), suffix)
    assert import_own(path, tmp_path / "out.parquet", SPACE, COLUMNS, unit, source="me") == 3
    table = BenchmarkTable.open(tmp_path / "out.parquet", space="nasbench201")
    table.check()
    assert table.archs == list(ARCHS)
    assert table.columns == ["d.observed.9", "d.test.9", "d.params_m"]
    np.testing.assert_allclose(table.column("d.observed.9"), observed)
    np.testing.assert_allclose(table.column("d.params_m"), [1, 2, 3])
    assert table.metadata.source == "me"


def test_a_pattern_takes_all_columns_that_it_fits(tmp_path: Path) -> None:
    frame = FRAME.rename(columns={"a": "acc.1", "t": "acc.20"}).assign(**{"acc": 1, "acc.20x": 1})
    path, out = written(tmp_path, frame), tmp_path / "out.parquet"
    columns = {"cell": "arch", "acc.*0": "d.test.*0", "acc.1": "d.observed.1"}
    import_own(path, out, SPACE, columns, "fraction")
    table = BenchmarkTable.open(out)
    assert table.columns == ["d.test.20", "d.observed.1"]
    np.testing.assert_allclose(table.column("d.test.20"), 100 * FRAME.t)
    for wrong, message in (
        (
            {"acc.*": "d.observed.9"},
            r"--column acc\.\*=d\.observed\.9: d\.observed\.9 has no \* for what that of",
        ),
        ({"top*": "d.observed.*"}, r"has no such columns; it has cell, acc\.1"),
        ({"acc.*": "d.observed.*"}, r"d\.observed\.20x is not the name of a column"),
    ):
        with pytest.raises(UserError, match=message):
            import_own(path, out, SPACE, {"cell": "arch", **wrong}, "fraction")


def test_accuracies_of_short_trainings_may_be_declared_weak_labels(tmp_path: Path) -> None:
    path = written(tmp_path, FRAME)
    columns = {"cell": "arch", "a": "weak.short.4", "t": "d.observed.9"}
    import_own(path, tmp_path / "out.parquet", SPACE, columns, "fraction")
    table = BenchmarkTable.open(tmp_path / "out.parquet")
    np.testing.assert_allclose(table.column("weak.short.4"), FRAME.a)


@pytest.mark.parametrize(
    ("frame", "columns", "unit", "message"),
    [
        (FRAME, COLUMNS, "percent", "holds nothing above 1.*--unit fraction"),
        (FRAME, COLUMNS, "error", "holds nothing above 1.*--unit fraction"),
        (
            FRAME.assign(a=[50.0, 60, 70]),
            COLUMNS,
            "fraction",
            "70, which is no fraction; choose --unit percent",
        ),
        (
            FRAME.assign(val_err=[6.6, 7, 8]),
            {"cell": "arch", "val_err": "d.valid.9"},
            "percent",
            "seems to hold errors",
        ),
        (
            FRAME.assign(val_acc=[6.6, 7, 8]),
            {"cell": "arch", "val_acc": "d.valid.9"},
            "error",
            "to hold accuracies",
        ),
        (FRAME, {"a": "d.observed.9"}, "fraction", "has no column arch; it has cell, a, t, p, note"),
        (FRAME, {"cell": "arch", "a": "d.valid"}, "fraction", "d.valid is not the name of a column"),
        (FRAME, {"cell": "arch", "a": "d.valid.9", "t": "d.valid.9"}, "fraction", "d.valid.9 is named twice"),
        (FRAME.assign(cell="x"), COLUMNS, "fraction", "row 0: not a NAS-Bench-201 cell"),
        (FRAME.assign(cell=ARCHS[0]), COLUMNS, "fraction", "is there more than once"),
        (FRAME.assign(a="good"), COLUMNS, "fraction", "not numbers"),
        (
            FRAME.assign(a=["0.5", "90.5%", "1"]),
            COLUMNS,
            "fraction",
            r"column a of .*mine.csv holds text, not numbers, such as '90.5%' in row 1",
        ),
        (FRAME.assign(a=["0.5", "0.7", "None"]), COLUMNS, "fraction", "not numbers, such as 'None' in row 2"),
        (FRAME.assign(a=["0.5", "9_0", "1"]), COLUMNS, "fraction", "not numbers, such as '9_0' in row 1"),
        (FRAME.assign(a=["no", "no", "1"]), COLUMNS, "fraction", "not numbers, such as 'no' in row 0"),
        (FRAME.assign(a=[0.5, np.nan, 0.25]), COLUMNS, "fraction", "1 of 3 accuracies are missing"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, frame: pd.DataFrame, columns: dict[str, str], unit: Unit, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        import_own(written(tmp_path, frame), tmp_path / "out.parquet", SPACE, columns, unit)
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("mine.csv", b"", "is empty"),
        (
            "mine.csv",
            b"cell,a,t,p\n1,2\n",
            r"mine.csv is damaged, .* name a CSV file with a header, or a Parquet file",
        ),
        ("mine.parquet", b"cell,a\n", r"mine.parquet is damaged, .*Parquet"),
        ("mine.csv.gz", b"\x1f\x8bnothing", "mine.csv.gz is damaged"),
        ("mine.csv", b"cell,a,t,p\n", "2 of 2|names no architecture at all"),
        ("mine.csv", b"cell,a,t,p\n" + 2 * b"\xff,,,\n", "mine.csv is damaged"),
        ("mine.csv", f"cell,a,t,p\n{ARCHS[0]},,1,1\n".encode(), "1 of 1 accuracies are missing"),
        ("mine.csv", b"version https://git-lfs.github.com/spec/v1\n", "Git-LFS pointer"),
    ],
)
def test_files_that_cannot_be_read_are_errors(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        import_own(tmp_path / name, tmp_path / "out.parquet", SPACE, COLUMNS, "fraction")


def test_the_command_imports_and_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = written(tmp_path, FRAME), tmp_path / "mine.parquet"
    command = ["import", "csv", str(path), "--out", str(out), "--unit", "fraction"]
    renamed = [word for old, new in COLUMNS.items() for word in ("--column", f"{old}={new}")]
    assert main([*command, "--space", "nasbench201", *renamed]) == 0
    assert "3 architectures" in capsys.readouterr().out
    assert main(["verify", str(out)]) == 0
    for arguments, message in (
        (["--space", "nasbench", *renamed], "there is no search space nasbench"),
        (["--space", "nasbench201", "--column", "cell"], "expected OLD=NEW"),
    ):
        assert main([*command, *arguments]) == 2
        assert message in capsys.readouterr().err


def test_files_are_read_by_what_is_in_them_whatever_they_are_called(tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "mine.csv.gz", index=False)
    FRAME.to_csv(tmp_path / "MINE.CSV.GZ", index=False, compression="gzip")
    FRAME.to_csv(tmp_path / "packed", index=False, compression="xz")
    FRAME.to_csv(tmp_path / "excel.csv", index=False, encoding="utf-8-sig")
    FRAME.to_parquet(tmp_path / "MINE.PARQUET", index=False)
    FRAME.to_parquet(tmp_path / "mine", index=False)
    for name in ("mine.csv.gz", "MINE.CSV.GZ", "packed", "excel.csv", "MINE.PARQUET", "mine"):
        assert import_own(tmp_path / name, tmp_path / "out.parquet", SPACE, COLUMNS, "fraction") == 3
    assert find_table(str(tmp_path / "MINE.PARQUET")) == tmp_path / "MINE.PARQUET"


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.csv.gz").write_bytes(gzip.compress(b"arch,acc\na,1\n" + b"\n" * (1 << 27), 1))
    with pytest.raises(UserError, match="unpacks to more than a hundred times its size"):
        read_rows(tmp_path / "mine.csv.gz")


SPACES: list[tuple[SearchSpace, str]] = [
    (NasBench101(), ""),
    (NasBench201(), ""),
    (MobileNet(), ""),
    *((NDS(family), "") for family in get_args(FamilyName)),
    (LabelledGraphs(), "0-1,0-2,1-2:0,4,1"),
]


@pytest.mark.parametrize(("space", "arch"), SPACES, ids=[space.name for space, _ in SPACES])
def test_architectures_of_every_space_are_imported_by_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], space: SearchSpace, arch: str
) -> None:
    (arch,) = [arch] if arch else space.sample(1, torch.Generator().manual_seed(0))
    path, out = tmp_path / "mine.csv", tmp_path / "out.parquet"
    command = ["import", "csv", str(path), "--space", space.name, "--unit", "percent", "--out", str(out)]
    pd.DataFrame({"arch": [arch], "acc": [90.5]}).to_csv(path, index=False)
    assert main([*command, "--column", "acc=mine.valid.200"]) == 0
    assert main(["verify", str(out), "--space", space.name]) == 0
    assert BenchmarkTable.open(out, space=space.name).lookup([arch], "mine.valid.200") == [90.5]
    for wrong in (f"{arch}x", "9" * 5000):
        pd.DataFrame({"arch": [arch, wrong], "acc": [90.5, 91.0]}).to_csv(path, index=False)
        capsys.readouterr()
        assert main([*command, "--column", "acc=mine.valid.200"]) == 2
        message = capsys.readouterr().err
        assert "mine.csv, row 1: " in message and len(message) < 1000


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("cell,a,a,t,p\nx,1,2,3,4\n")
    with pytest.raises(UserError, match="has two columns a; rename one"):
        import_own(tmp_path / "mine.csv", tmp_path / "out.parquet", SPACE, COLUMNS, "fraction")


MINE = pd.DataFrame(
    {
        "arch": ["02012100", "11111221", "02012100"],
        "task.valid_ssim": [0.5, None, 0.75],
        "perplexity": [130.0, 120.0, 110.0],
        "status": ["OK", "FAIL", "OK"],
    }
)


@pytest.mark.parametrize(("repeated", "ssim"), [("first", 0.5), ("mean", 0.625)])
def test_any_columns_are_taken_as_they_are_and_repeated_rows_joined(
    tmp_path: Path, repeated: Literal["first", "mean"], ssim: float
) -> None:
    path, out, space = (
        written(tmp_path, MINE),
        tmp_path / "out.parquet",
        SimpleNamespace(name="mine", parse=str),
    )
    with pytest.raises(UserError, match=r"02012100 is there more than once; .*--repeated first or mean"):
        import_own(path, out, space, {}, "none")
    assert import_own(path, out, space, {}, "none", repeated=repeated) == 2
    table = BenchmarkTable.open(out, space="mine")
    table.check()
    assert (table.archs, table.columns) == (["02012100", "11111221"], list(MINE.columns[1:]))
    np.testing.assert_array_equal(table.column("task.valid_ssim"), [ssim, np.nan])
    assert table.arrow_column("status").to_pylist() == ["OK", "FAIL"]
    assert table.metadata.unit == "none"


def test_without_a_unit_columns_are_named_freely_and_not_checked(tmp_path: Path) -> None:
    path, space = written(tmp_path, MINE[:2]), SimpleNamespace(name="mine", parse=str)
    names = {"arch": "arch", "perplexity": "lm.valid.1", "task.valid_ssim": "my SSIM"}
    import_own(path, tmp_path / "out.parquet", space, names, "none")
    table = BenchmarkTable.open(tmp_path / "out.parquet")
    table.check()
    assert table.column("lm.valid.1").tolist() == [130, 120]


def test_a_space_of_choices_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    choices = "choices: {k: [1, 3], w: [8, 16]}\nread: 'k(?P<k>\\d)w(?P<w>\\d+)'\nname: mine\n"
    (tmp_path / "space.yaml").write_text(choices)
    indented = "  " + choices.strip().replace("\n", "\n  ")
    (tmp_path / "experiment.yaml").write_text(f"experiment: mine\nspace:\n{indented}\n")
    path = written(tmp_path, pd.DataFrame({"arch": ["k3w8", "k1w16"], "loss": [1.5, 2.5]}))
    command = [
        "import",
        "csv",
        str(path),
        "--unit",
        "none",
        "--out",
        str(tmp_path / "out.parquet"),
        "--space",
    ]
    for name in ("space", "experiment"):
        assert main([*command, str(tmp_path / f"{name}.yaml")]) == 0
        assert BenchmarkTable.open(tmp_path / "out.parquet", space="mine").archs == ["k=3,w=8", "k=1,w=16"]
    (tmp_path / "space").mkdir()
    (tmp_path / "space/own.yaml").write_text(f"_target_: acenas.Choices\n_convert_: all\n{choices}")
    monkeypatch.setenv("ACENAS_CONF", str(tmp_path))
    assert main([*command, "own"]) == 0
    assert BenchmarkTable.open(tmp_path / "out.parquet", space="mine").archs == ["k=3,w=8", "k=1,w=16"]
    (tmp_path / "space.yaml").write_text("width: 3")
    for name in ("space", "none"):
        assert main([*command, str(tmp_path / f"{name}.yaml")]) == 2
        assert f"--space {tmp_path / name}.yaml describes no space" in capsys.readouterr().err


def test_spaces_are_named_by_class_or_not_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.parquet"
    command = [
        "import",
        "csv",
        str(written(tmp_path, MINE[:2])),
        "--out",
        str(out),
        "--unit",
        "none",
        "--space",
    ]
    assert main([*command, "mine"]) == 0
    assert "acenas has no space mine: the grammar of architectures was not checked" in capsys.readouterr().out
    for space, message in (
        ("acenas.spaces.NasBench201", "row 0: not a NAS-Bench-201 cell"),
        ("nds_darts", "row 0: "),
        ("no_such_module.Space", "no_such_module.Space cannot be imported: No module named"),
    ):
        assert main([*command, space]) == 2
        assert message in capsys.readouterr().err
    arch = NDS("darts").sample(1, torch.Generator().manual_seed(0))
    path = written(tmp_path, pd.DataFrame({"arch": arch, "d.valid.9": [90.5]}))
    assert (
        main(["import", "csv", str(path), "--out", str(out), "--unit", "percent", "--space", "nds_darts"])
        == 0
    )
    assert BenchmarkTable.open(out, space="nds_darts").archs == arch
