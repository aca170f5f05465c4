import json
import math
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acenas.errors import UserError
from acenas.spaces.nds.cells import FAMILIES, from_genotype, parse
from acenas.tables import BenchmarkTable
from acenas.tables.command import main
from acenas.tables.importers import jsonlist
from acenas.tables.importers.nds import Imported, ToArch, file_of, import_nds

Record = dict[str, Any]


def genotype(*normal: tuple[str, int]) -> dict[str, Any]:
    """An ENAS genotype, by the format's description: its output joins the nodes that no other node reads."""
    reduce = [("avg_pool_3x3", 0), ("skip_connect", 1)] * 5
    read = {state for _, state in normal}
    return {
        "normal": [list(pair) for pair in normal],
        "normal_concat": [state for state in range(2, 7) if state not in read],
        "reduce": [list(pair) for pair in reduce],
        "reduce_concat": [2, 3, 4, 5, 6],
    }


CHAIN = [("sep_conv_3x3", i) for i in (0, 1, 2, 0, 3, 2, 4, 1, 5, 5)]  # one loose end
LOOSE = [("sep_conv_5x5", i % 2) for i in range(10)]  # five


def record(
    normal: list[tuple[str, int]], errors: list[float], width: int = 16, depth: int = 8, **changes: Any
) -> Record:
    """The keys of the official files."""
    return {
        "job_id": 7,
        "rng_seed": 1,
        "net": {
            "genotype": genotype(*normal),
            "width": width,
            "depth": depth,
            "aux": False,
            "drop_prob": 0.0,
        },
        "optim": {"base_lr": 0.1, "wd": 0.0005, "max_ep": 3},
        "params": 1_234_567,
        "flops": 98_765_432,
        "exp_mem": 1.0,
        "act_mem": 2,
        "prec_time": 0.1,
        "iter_time": 0.2,
        "min_test_top1": min(errors),
        "train_ep_loss": [2.0, math.nan, 1.0],
        "train_ep_top1": [50.0, 40.0, 30.0],
        "test_ep_top1": errors,
        "train_it_loss": [],
        "train_it_top1": [],
    } | changes


RECORDS = [
    record(CHAIN, [60.0, 7.5, 8.0]),
    record(LOOSE, [90.0, 30.25, 20.5], width=24, depth=20),
    record(CHAIN, [61.0, 9.0, 6.0]),  # the first one again
    record(LOOSE, [90.0, 90.0, 90.0], depth=4),  # diverged
]


def arch(normal: list[tuple[str, int]], width: int, depth: int) -> str:
    return str(from_genotype(FAMILIES["enas"], genotype(*normal), width, depth))


def to_arch(family: str) -> ToArch:
    return lambda genotype, width, depth: str(from_genotype(FAMILIES[family], genotype, width, depth))


def written(folder: Path, content: Any, name: str = "ENAS") -> Path:
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("shape", [lambda r: r, lambda r: {"top": r[:1], "mid": r[1:]}])
@pytest.mark.parametrize(("accuracy", "of_chain"), [("last", (92.0, 94.0)), ("best", (92.5, 94.0))])
def test_errors_become_accuracies(
    tmp_path: Path, shape: Callable[[list[Record]], Any], accuracy: Any, of_chain: tuple[float, float]
) -> None:
    path, out = written(tmp_path, shape(RECORDS)), tmp_path / "out.parquet"
    told: list[tuple[int, int]] = []
    imported = import_nds(path, out, to_arch, accuracy=accuracy, progress=lambda *at: told.append(at))
    assert imported == Imported(4, 3, 0, file_of("ENAS"), 3)
    assert told[-1] == (path.stat().st_size,) * 2
    table = BenchmarkTable.open(out, space="nds_enas")
    table.check()
    assert table.archs == [arch(CHAIN, 16, 8), arch(LOOSE, 24, 20), arch(LOOSE, 16, 4)]
    np.testing.assert_allclose(table.column("cifar10.observed.3"), [of_chain[0], 79.5, 10])
    np.testing.assert_allclose(table.column("cifar10.test.3"), [sum(of_chain) / 2, 79.5, 10])
    np.testing.assert_allclose(table.column("cifar10.test.3.s1"), [94, np.nan, np.nan])
    np.testing.assert_allclose(table.column("cifar10.params_m"), 1.234567)
    np.testing.assert_allclose(table.column("cifar10.flops_m"), 98.765432)
    assert ("best of all epochs" in table.metadata.provenance) == (accuracy == "best")


def test_a_file_is_read_out_of_the_archive(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    imagenet = [record(CHAIN, [60.0, 50.0, 40.0], width=48, depth=14)]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("nds_data/ENAS.json", json.dumps(RECORDS))
        archive.writestr("nds_data/ENAS_in.json", json.dumps(imagenet))
        archive.writestr("nds_data/ResNet.json", "[]")
    import_nds(path, tmp_path / "out.parquet", to_arch, name="ENAS_in")
    table = BenchmarkTable.open(tmp_path / "out.parquet")
    assert table.columns == [f"imagenet.{name}" for name in ("observed.3", "test.3", "params_m", "flops_m")]
    for name in (None, "DARTS"):
        with pytest.raises(UserError, match=r"say which file with --name: ENAS, ENAS_in$"):
            import_nds(path, tmp_path / "no.parquet", to_arch, name=name)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match="is damaged, or not what is due"):
        import_nds(path, tmp_path / "no.parquet", to_arch, name="ENAS")


def changed(**changes: Any) -> Record:
    return RECORDS[0] | changes


def net(**changes: Any) -> Record:
    return RECORDS[0] | {"net": RECORDS[0]["net"] | changes}


def as_accuracies(records: list[Record]) -> list[Record]:
    turned = [[100 - error for error in one["test_ep_top1"]] for one in records]
    return [
        one | {"test_ep_top1": values, "min_test_top1": min(values)}
        for one, values in zip(records, turned, strict=True)
    ]


def as_fractions(records: list[Record]) -> list[Record]:
    return [
        one
        | {
            "test_ep_top1": [e / 100 for e in one["test_ep_top1"]],
            "min_test_top1": one["min_test_top1"] / 100,
        }
        for one in records
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("DARTS_lr-wd", RECORDS, "different learning rates .* choose DARTS$"),
        ("ResNet", RECORDS, "ResNet is not a file of cells"),
        ("ENAS_rng1", RECORDS, "ENAS_rng1 is not a file of cells"),
        ("ENAS_in", RECORDS, r"its depths \[4, 8, 20\] are those of cifar10, and its name says imagenet"),
        ("ENAS_fix-w-d", RECORDS, "fix-w-d, and there are 3 widths and depths"),
        ("DARTS", RECORDS, "record 0: not a genotype of nds_darts"),
        (
            "ENAS",
            [*RECORDS, record(CHAIN, [3.0], optim={"base_lr": 0.2, "wd": 5e-4, "max_ep": 3})],
            "record 4: learn",
        ),
        ("ENAS", [changed(test_ep_top1=[1.0] * 4)], "4 errors, one for each epoch, and only 3 epochs"),
        ("ENAS", [changed(test_ep_top1=[60, 8, 108])], "outside 0 to 100"),
        ("ENAS", [changed(test_ep_top1=[60, math.nan, 8])], "outside 0 to 100"),
        ("ENAS", [changed(min_test_top1=5)], "min_test_top1 is 5, and the smallest of test_ep_top1 is 7.5"),
        ("ENAS", [changed(test_ep_top1=[60.0])], "no finished trainings"),
        ("ENAS", [net(genotype={})], "the genotype has no normal"),
        ("ENAS", [RECORDS[0] | {"net": {"ds": [1, 2]}}], "has no genotype"),
        ("ENAS", [{"net": {}}], "there is no 'optim'"),
        ("ENAS", as_accuracies(RECORDS[:3]), "errors grow in most trainings .*: it holds accuracies"),
        ("ENAS", as_fractions(RECORDS), "no error is above 1: it holds fractions"),
        ("ENAS", "text", "'\"' stands where '\\[' or '{' is due"),
        ("ENAS", [1], "'1' stands where '{' or '\\]' is due"),
        ("ENAS", [], "no finished trainings"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, name: str, content: Any, message: str) -> None:
    path = written(tmp_path, content, name)
    with pytest.raises(UserError, match=message):
        import_nds(path, tmp_path / "out.parquet", to_arch)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git-LFS pointer"),
        (json.dumps(RECORDS).encode()[:-2], "truncated in item 3"),
        (b"[{]", "truncated in item 0"),
        (b'[{"a": "\xff"}]', "no text in UTF-8"),
    ],
)
def test_files_that_cannot_be_read_are_errors(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "ENAS.json").write_bytes(content)
    with pytest.raises(UserError, match=message):
        import_nds(tmp_path / "ENAS.json", tmp_path / "out.parquet", to_arch)


def test_unfinished_trainings_are_left_out_and_counted(tmp_path: Path) -> None:
    path = written(tmp_path, [*RECORDS, record(LOOSE, [50.0, 40.0], width=32)])
    assert import_nds(path, tmp_path / "out.parquet", to_arch)[:3] == (5, 3, 1)


@pytest.mark.parametrize("block", [1, 2, 7, 1000])
def test_items_come_one_by_one_wherever_the_blocks_end(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(jsonlist, "_BLOCK", block)
    items: list[Mapping[str, Any]] = [{}, {"a": "é€𝄞]},", "b": [1.5, {"c": None}]}, {"x": -12e3}]
    for content in (items, {"one": items[:1], "none": [], "two": items[1:]}, []):
        for indent in (None, 2):
            text = json.dumps(content, ensure_ascii=False, indent=indent).encode()
            assert list(jsonlist.read_items(BytesIO(text), "file")) == (items if content else [])
    large = [{"a": "b" * 5000}] * 3
    assert list(jsonlist.read_items(BytesIO(json.dumps(large).encode()), "file")) == large


def test_names_of_files_say_what_they_hold() -> None:
    assert file_of("Amoeba_in") == ("amoeba", "imagenet", False)
    with pytest.raises(UserError, match=r"choose DARTS_in$"):
        file_of("DARTS_lr-wd_in")


def test_the_command_makes_a_table_that_verifies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = written(tmp_path, RECORDS), tmp_path / "nds_enas.parquet"
    assert main(["import", "nds", str(path), "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "3 architectures from 4 trainings" in shown
    assert f"nds_enas_ltr table.dataset=cifar10 table.path={out} table.epochs.cifar10=3" in shown
    assert main(["verify", str(out), "--space", "nds_enas"]) == 0
    assert "was not checked" not in capsys.readouterr().out
    for name in BenchmarkTable.open(out).archs:
        assert str(parse(FAMILIES["enas"], name)) == name


def test_an_archive_damaged_anywhere_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("nds_data/ENAS.json", "[" + "0, " * 100 + "0]")
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
        with pytest.raises(UserError, match=r"data.zip"):
            import_nds(path, tmp_path / "out.parquet", to_arch, name="ENAS")


@pytest.mark.parametrize(
    "content", ["[" * 10**5, '[{"net": ' + "9" * 10**4 + "}]", '[{"net": ' + "[" * 10**5]
)
def test_json_beyond_all_limits_is_one_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "ENAS.json").write_text(content)
    with pytest.raises(UserError, match=r"ENAS.json") as error:
        import_nds(tmp_path / "ENAS.json", tmp_path / "out.parquet", to_arch)
    assert len(str(error.value)) < 500
