from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from acenas.errors import UserError
from acenas.tables import BenchmarkTable, Provenance, TableMetadata, WeakLabels, write_table
from acenas.tables.command import main
from acenas.tables.join import join_weak_labels

SUPERNET = Provenance("ten images", "a super-net", "1 s")


def labels(space: str = "toy") -> WeakLabels:
    values = np.array([[3.0], [1.0]])
    return WeakLabels(space, ["c", "a"], ["weak.supernet"], values, {"weak.supernet": SUPERNET})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    frame = pd.DataFrame(
        {"arch": ["a", "b", "c"], "d.valid.1": [10.0, 20.0, 30.0], "weak.x": [0.0, 1.0, 2.0]}
    )
    metadata = TableMetadata("toy", source="us", columns={"weak.x": Provenance("none", "none", "none")})
    write_table(frame, tmp_path / "t.parquet", metadata)
    return tmp_path / "t.parquet"


def test_labels_become_columns_with_their_provenance(path: Path) -> None:
    columns = {"weak.supernet": "weak.supernet.s0"}
    join_weak_labels(BenchmarkTable.open(path), labels(), columns, path)
    joined = BenchmarkTable.open(path)
    joined.check()
    np.testing.assert_array_equal(joined.column("weak.supernet.s0"), [1, np.nan, 3])
    np.testing.assert_array_equal(joined.column("d.valid.1"), [10, 20, 30])
    assert joined.metadata.columns["weak.supernet.s0"] == SUPERNET
    assert joined.metadata.columns.keys() == {"weak.x", "weak.supernet.s0"} and joined.metadata.source == "us"


def test_what_does_not_fit_is_refused(path: Path, tmp_path: Path) -> None:
    table, out = BenchmarkTable.open(path), tmp_path / "out.parquet"
    with pytest.raises(UserError, match="of the space other"):
        join_weak_labels(table, labels("other"), {"weak.supernet": "weak.s"}, out)
    with pytest.raises(UserError, match=r"no label weak\.magic; choose from weak\.supernet"):
        join_weak_labels(table, labels(), {"weak.magic": "weak.s"}, out)
    strangers = WeakLabels("toy", ["z"], ["weak.s"], np.ones((1, 1)), {"weak.s": SUPERNET})
    with pytest.raises(UserError, match="no architecture of"):
        join_weak_labels(table, strangers, {"weak.s": "weak.s"}, out)
    assert not out.exists()


def test_the_command_joins(path: Path, tmp_path: Path) -> None:
    labels().save(tmp_path / "labels.parquet")
    arguments = ["join", str(path), str(tmp_path / "labels.parquet"), "--out", str(tmp_path / "new.parquet")]
    assert main([*arguments, "--column", "weak.supernet=weak.supernet.s1"]) == 0
    assert "weak.supernet.s1" in BenchmarkTable.open(tmp_path / "new.parquet").columns
    assert main([*arguments, "--column", "weak.supernet"]) == 2
