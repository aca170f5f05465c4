from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from acenas.errors import UserError
from acenas.tables.catalogue import available_tables, check_table, find_table
from acenas.tables.schema import TableMetadata, write_table

TOY = pd.DataFrame(
    {"arch": ["a", "b"], "d.valid.1": [10.0, 20.0], "d.test.1": [11.0, 21.0], "weak.x": [1.0, None]}
)


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("ACENAS_DATA", raising=False)
    write_table(TOY, tmp_path / "toy.parquet", TableMetadata("toyspace"))
    write_table(TOY, tmp_path / "below" / "other.parquet", TableMetadata("otherspace"))
    (tmp_path / "images").mkdir()
    TOY.to_parquet(tmp_path / "images" / "train.parquet")
    (tmp_path / "pointer.parquet").write_text("version https://git-lfs.github.com/spec/v1\n")
    return tmp_path


def own(data_dir: Path | None = None) -> dict[str, str | None]:
    return {entry.name: entry.problem for entry in available_tables(data_dir) if not entry.embedded}


def test_the_data_folder_is_looked_through(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert own() == {}
    found = own(data_dir)
    assert set(found) == {"toy", "other", "pointer"}
    assert found["toy"] is None
    assert "git lfs pull" in str(found["pointer"])
    monkeypatch.setenv("ACENAS_DATA", str(data_dir))
    assert own() == found


def test_a_table_that_the_users_configurations_describe_has_their_name(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = tmp_path / "conf"
    (conf / "table").mkdir(parents=True)
    monkeypatch.setenv("ACENAS_CONF", str(conf))
    for name, text in (
        ("mine", f"path: {data_dir / 'toy.parquet'}"),
        ("lost", "path: lost.parquet"),
        ("composed", "path: ${data_dir}/toy.parquet"),
        ("damaged", "path: ["),
        ("named", "path: toy"),
    ):
        (conf / "table" / f"{name}.yaml").write_text(text)
    assert find_table("mine") == data_dir / "toy.parquet"
    found = own()
    assert (
        set(found) == {"mine", "lost"}
        and found["mine"] is None
        and "no table lost.parquet" in str(found["lost"])
    )


def test_embedded_tables_are_sound() -> None:
    for entry in available_tables():
        if entry.embedded:
            assert entry.footer is not None, entry.problem
            check_table(entry.path, entry.footer.metadata.space, ())


def test_a_missing_data_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data folder .*nowhere does not exist; make it, or set data_dir"):
        available_tables(tmp_path / "nowhere")


def test_tables_are_found_by_name_and_by_path(data_dir: Path) -> None:
    assert find_table("toy", data_dir) == data_dir / "toy.parquet"
    assert find_table("other", data_dir) == data_dir / "below" / "other.parquet"
    assert find_table("x/y.parquet") == Path("x/y.parquet")
    assert find_table(Path("toy"), data_dir) == Path("toy")
    with pytest.raises(UserError, match=r"no table nb; at hand are: .*toy.*set data_dir"):
        find_table("nb", data_dir)


def test_what_a_run_needs_of_a_table_is_checked(data_dir: Path) -> None:
    path = data_dir / "toy.parquet"
    needed = ["d.valid.1", "d.test.1", "weak.x"]
    assert check_table("toy", "toyspace", needed, data_dir) == path
    with pytest.raises(UserError, match="of the space toyspace, not nasbench201"):
        check_table(path, "nasbench201", needed)
    with pytest.raises(UserError, match=r"no column d\.valid\.2"):
        check_table(path, "toyspace", ["d.valid.2"])
    edited = pq.read_table(path)
    pq.write_table(edited.set_column(3, "weak.x", pa.array([1.0, 2.0])), path)
    with pytest.raises(
        UserError, match=r"column weak\.x is not what was written.*fetch or make toy\.parquet again"
    ):
        check_table(path, "toyspace", needed)
