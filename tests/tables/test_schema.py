import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acenas.errors import UserError
from acenas.tables.schema import (
    Accuracy,
    Column,
    Flops,
    Latency,
    Other,
    Parameters,
    Provenance,
    TableMetadata,
    TrainSeconds,
    Weak,
    column_datasets,
    digest_column,
    parse_column,
    unpack_metadata,
    write_table,
)

words = st.from_regex(r"[A-Za-z0-9_-]+", fullmatch=True)
datasets = words.filter(lambda word: word != "weak")
counts = st.integers(min_value=0, max_value=10**6)
columns: st.SearchStrategy[Column] = st.one_of(
    st.builds(Accuracy, datasets, st.sampled_from(["valid", "test", "observed"]), counts, st.none() | counts),
    st.builds(TrainSeconds, datasets, counts),
    st.builds(Parameters, datasets),
    st.builds(Flops, datasets),
    st.builds(Latency, datasets, words),
    st.builds(Weak, st.lists(words, min_size=1, max_size=3).map(".".join)),
)


@given(columns)
def test_every_typed_column_comes_back_from_its_name(column: Column) -> None:
    assert parse_column(str(column)) == column


@given(st.text() | st.from_regex(r"[a-z]+\.(valid|test|params_m|latency_ms)(\.[a-z0-9]+)*", fullmatch=True))
def test_every_name_comes_back_from_what_it_parses_to(name: str) -> None:
    assert str(parse_column(name)) == name


@pytest.mark.parametrize(
    "name",
    [
        "arch",
        "index",
        "c.valid",
        "c.valid.012",
        "c.valid.-1",
        "c.valid.12.s",
        "a.b.valid.12",
        "c.vaild.12",
        "weak.",
        "",
    ],
)
def test_names_outside_the_grammar_are_other(name: str) -> None:
    assert parse_column(name) == Other(name)


def test_datasets_are_those_of_the_columns() -> None:
    names = ["b.valid.1", "a.flops_m", "weak.c.valid.1", "index", "d.latency_ms.phone"]
    assert column_datasets(names) == ["a", "b", "d"]


def frame(**changes: Any) -> pd.DataFrame:
    plain = {
        "arch": ["a", "bb", "ccc"],
        "d.valid.1": [10.0, 20.0, 30.0],
        "weak.flops": [1.0, math.nan, 3.0],
        "index": [0, 1, 2],
    }
    return pd.DataFrame({**plain, **changes})


METADATA = TableMetadata(
    "toy",
    source="made up",
    licence="MIT",
    date="2024-01-02",
    provenance="by hand",
    columns={"weak.flops": Provenance("none", "none", "0 s")},
)


def test_a_table_comes_back_with_its_metadata_and_nothing_beside_it_is_left(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "toy.parquet"
    write_table(frame(), path, METADATA)
    pd.testing.assert_frame_equal(pd.read_parquet(path), frame())
    packed = {key.decode(): value.decode() for key, value in pq.read_schema(path).metadata.items()}
    metadata, checksums = unpack_metadata(packed)
    assert metadata == METADATA
    assert checksums is not None
    assert set(checksums.columns) == set(frame().columns)
    assert [file.name for file in path.parent.iterdir()] == ["toy.parquet"]


def test_arrow_and_pandas_frames_have_the_same_checksums(tmp_path: Path) -> None:
    for name, table in {
        "pandas": frame(),
        "arrow": pa.table({key: pa.array(list(values)) for key, values in frame().items()}),
        "coded": frame(arch=pd.Categorical(["a", "bb", "ccc"])),
        "chunks": pa.concat_tables(
            [
                pa.Table.from_pandas(frame().iloc[rows], preserve_index=False)
                for rows in (slice(1), slice(1, 3))
            ]
        ),
    }.items():
        write_table(table, tmp_path / name, METADATA)
    digests = {
        pq.read_schema(tmp_path / n).metadata[b"sha256"] for n in ("pandas", "arrow", "coded", "chunks")
    }
    assert len(digests) == 1


def test_the_digest_tells_values_order_type_name_and_missing_values_apart() -> None:
    base = pa.chunked_array([pa.array([1.0, 2.0, None])])
    others = {
        "value": pa.chunked_array([pa.array([1.0, 2.5, None])]),
        "order": pa.chunked_array([pa.array([2.0, 1.0, None])]),
        "missing": pa.chunked_array([pa.array([1.0, 2.0, 0.0])]),
        "type": pa.chunked_array([pa.array([1.0, 2.0, None], pa.float32())]),
        "text": pa.chunked_array([pa.array(["1", "2", None])]),
        "boundaries": pa.chunked_array([pa.array(["12", "", None])]),
        "rows": pa.chunked_array([pa.array([1.0, 2.0])]),
        "bool": pa.chunked_array([pa.array([True, False, None])]),
    }
    digests = {name: digest_column("weak.a", values) for name, values in others.items()}
    digests["base"] = digest_column("weak.a", base)
    digests["name"] = digest_column("weak.b", base)
    assert len(set(digests.values())) == len(digests)
    split = pa.chunked_array([pa.array([9.0, 1.0]).slice(1), pa.array([2.0]), pa.array([None], pa.float64())])
    assert digest_column("weak.a", split) == digests["base"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arch": ["a", "a", "b"]}, "architecture a is there more than once"),
        ({"arch": ["a", None, "b"]}, "1 rows name no architecture"),
        ({"arch": ["a", "", "b"]}, "1 rows name no architecture"),
        ({"arch": [1, 2, 3]}, r'holds int64, not text; .*dtype=\{"arch": str\}'),
        (
            {"d.valid.1": [1.0, math.nan, 2.0]},
            r"d\.valid\.1: 1 of 3 accuracies are missing \(NaN\), the first in row 1",
        ),
        ({"d.valid.1": [1.0, 2.0, 100.5]}, "row 2 holds 100.5, but accuracies are in percent"),
        ({"d.test.1": [1.0, -2.0, 3.0]}, "row 1 holds -2"),
        ({"d.test.1.s0": [1.0, math.inf, 3.0]}, r"d\.test\.1\.s0: row 1 is infinite"),
        ({"d.flops_m": [1.0, math.inf, 3.0]}, "row 1 is infinite"),
        ({"d.flops_m": ["1", "2", "3"]}, "not numbers"),
        ({"when": pd.to_datetime(["2024-01-01"] * 3)}, "text and numbers only"),
    ],
)
def test_a_frame_that_breaks_the_schema_is_not_written(tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        write_table(frame(**changes), tmp_path / "t.parquet", METADATA)
    assert list(tmp_path.iterdir()) == []


def test_frames_without_architectures_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no column arch"):
        write_table(frame().drop(columns="arch"), tmp_path / "t.parquet", METADATA)
    with pytest.raises(UserError, match="no architecture at all"):
        write_table(
            pa.table({"arch": pa.array([], pa.string())}), tmp_path / "t.parquet", TableMetadata("toy")
        )
    with pytest.raises(UserError, match=r"describe a column weak\.flops that is not there"):
        write_table(frame().drop(columns="weak.flops"), tmp_path / "t.parquet", METADATA)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="was not written"):
        write_table(frame(), tmp_path / "file" / "t.parquet", METADATA)
    with pytest.raises(UserError, match=r"unit of its accuracies .* is fraction"):
        write_table(frame(), tmp_path / "t.parquet", TableMetadata("toy", unit="fraction"))


def test_accuracies_of_one_seed_and_weak_labels_may_be_missing(tmp_path: Path) -> None:
    write_table(frame(**{"d.valid.1.s3": [1.0, math.nan, 3.0]}), tmp_path / "t.parquet", METADATA)
    stored = pq.read_table(tmp_path / "t.parquet")
    assert stored.column("d.valid.1.s3").null_count == 1
    assert np.isnan(pd.read_parquet(tmp_path / "t.parquet")["weak.flops"][1])
