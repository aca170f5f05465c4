import bz2
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from acenas.errors import UserError
from acenas.spaces import NasBench201
from acenas.spaces.cost import count_cost
from acenas.tables import BenchmarkTable
from acenas.tables.command import main
from acenas.tables.importers import nasbench201 as module
from acenas.tables.importers.nasbench201 import import_nasbench201

SPACE = NasBench201()
ARCHS = [SPACE.enumerate()[i] for i in (5000, 7, 15_000)]
SETS = {
    "cifar10-valid": ("x-valid", "ori-test"),
    "cifar10": ("ori-test",),
    "cifar100": ("x-valid", "x-test", "ori-test"),
    "ImageNet16-120": ("x-valid", "x-test", "ori-test"),
}
SEEDS = [[777, 888, 999], [888], [777, 999]]


def accuracy(cell: int, dataset: str, images: str, epochs: int, seed: int) -> float:
    """Different for everything that it may be mistaken for."""
    return 20 + 10 * cell + 2 * list(SETS).index(dataset) + 0.5 * len(images) / 8 + epochs / 100 + seed / 1000


def trial(cell: int, dataset: str, epochs: int, seed: int, timed: bool) -> dict[str, Any]:
    """The 16 keys of a trial, with NumPy's numbers where the official files have them."""
    evaluated = {
        f"{images}@{epochs - 1}": accuracy(cell, dataset, images, epochs, seed) for images in SETS[dataset]
    }
    return {
        "name": dataset,
        "net_state_dict": None,
        "train_acc1es": {epochs - 1: 99.0},
        "train_acc5es": None,
        "train_losses": {epochs - 1: 0.1},
        "train_times": OrderedDict((epoch, 2.5) for epoch in range(epochs)) if timed else None,
        "arch_config": {"channel": 16, "num_cells": 5, "arch_str": ARCHS[cell], "class_num": 10},
        "params": np.float64(0.1 + cell + (0.5 if seed == 999 else 0)),  # the known defect
        "flop": 15.5 + cell,
        "seed": f"0{seed}",
        "epochs": epochs,
        "latency": [np.float64(0.01)] if timed else None,
        "eval_names": list(SETS[dataset]),
        "eval_acc1es": {**evaluated, f"{SETS[dataset][0]}@0": 10.0},
        "eval_losses": {},
        "eval_times": {},
    }


def state(cell: int, epochs: int, seeds: list[int]) -> dict[str, Any]:
    results = {
        (name, seed): trial(cell, name, epochs, seed, timed=cell != 1) for name in SETS for seed in seeds
    }
    return {
        "arch_index": cell,
        "arch_str": ARCHS[cell],
        "all_results": results,
        "dataset_seed": dict.fromkeys(SETS, seeds),
        "clear_net_done": True,
    }


def infos(short: str, long: str) -> dict[int, dict[str, Any]]:
    return {cell: {short: state(cell, 12, [111]), long: state(cell, 200, SEEDS[cell])} for cell in range(3)}


def dump(path: Path, content: Any) -> None:
    path.write_bytes(bz2.compress(pickle.dumps(content, protocol=4)))


def nats_folder(folder: Path) -> Path:
    folder.mkdir()
    meta = {"meta_archs": ARCHS, "total_archs": 3, "arch2infos": None, "evaluated_indexes": set()}
    dump(folder / "meta.pickle.pbz2", meta)
    for cell, info in infos("12", "200").items():
        dump(folder / (f"{cell:06d}.pickle.pbz2" if cell else "0.pickle.pbz2"), info)
    return folder


def nats_file(path: Path) -> Path:
    path = path.with_suffix(".pickle.pbz2")
    dump(path, {"meta_archs": ARCHS, "arch2infos": infos("12", "200"), "evaluated_indexes": {0, 1, 2}})
    return path


def pth_file(path: Path, legacy: bool = False) -> Path:
    path = path.with_suffix(".pth")
    content = {"meta_archs": ARCHS, "arch2infos": infos("less", "full"), "evaluated_indexes": [0, 1, 2]}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def legacy_pth_file(path: Path) -> Path:
    return pth_file(path, legacy=True)


def pth_folder(folder: Path) -> Path:
    folder.mkdir()
    for cell, info in infos("less", "full").items():
        torch.save(info, folder / f"{cell:06d}-FULL.pth")
    return folder


@pytest.mark.parametrize("make", [nats_folder, nats_file, pth_file, legacy_pth_file, pth_folder])
def test_a_table_has_what_the_files_say(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    seen: list[tuple[int, int]] = []
    path = make(tmp_path / "source")
    assert import_nasbench201(path, tmp_path / "out.parquet", SPACE, lambda *at: seen.append(at)) == 3
    assert seen == [(1, 3), (2, 3), (3, 3)]
    table = BenchmarkTable.open(tmp_path / "out.parquet", space="nasbench201")
    table.check()
    assert table.archs == ARCHS
    assert table.column("index").tolist() == [0, 1, 2]
    for dataset, valid, test in (
        ("cifar10", ("cifar10-valid", "x-valid"), ("cifar10", "ori-test")),
        ("cifar100", ("cifar100", "x-valid"), ("cifar100", "x-test")),
        ("imagenet16", ("ImageNet16-120", "x-valid"), ("ImageNet16-120", "x-test")),
    ):
        for epochs, seeds in ((12, [[111]] * 3), (200, SEEDS)):
            for split, place in (("valid", valid), ("test", test)):
                of_seed = [
                    [accuracy(cell, *place, epochs, seed) for seed in seeds[cell]] for cell in range(3)
                ]
                np.testing.assert_allclose(
                    table.column(f"{dataset}.{split}.{epochs}"),
                    [np.mean(values) for values in of_seed],
                    atol=1e-5,
                )
                if split == "valid":
                    observed = table.column(f"{dataset}.observed.{epochs}")
                    np.testing.assert_allclose(observed, [values[0] for values in of_seed])
                column = table.column(f"{dataset}.{split}.{epochs}.s{seeds[0][0]}")
                assert column[0] == pytest.approx(of_seed[0][0])
            np.testing.assert_array_equal(
                table.column(f"{dataset}.train_seconds.{epochs}"), [2.5 * epochs, np.nan, 2.5 * epochs]
            )
        assert np.isnan(table.column(f"{dataset}.valid.200.s777")).tolist() == [False, True, False]
        np.testing.assert_allclose(table.column(f"{dataset}.params_m"), [0.1, 1.1, 2.1])
        np.testing.assert_allclose(table.column(f"{dataset}.flops_m"), [15.5, 16.5, 17.5])


@pytest.mark.parametrize("make", [nats_folder, pth_folder])
def test_an_import_of_a_folder_that_was_killed_goes_on_where_it_was(
    tmp_path: Path, make: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = make(tmp_path / "source"), tmp_path / "out.parquet"
    import_nasbench201(folder, out, SPACE)
    whole = out.read_bytes()
    monkeypatch.setattr(module, "_PART", 2)

    def kill(done: int, count: int) -> None:
        if done == count:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_nasbench201(folder, out, SPACE, kill)
    seen: list[int] = []
    import_nasbench201(folder, out, SPACE, lambda done, count: seen.append(done))
    assert seen == [3]
    assert out.read_bytes() == whole
    assert sorted(tmp_path.iterdir()) == [out, folder]


def test_files_of_numpy_1_are_read(tmp_path: Path) -> None:
    """It names what makes a scalar by its old place."""
    folder = nats_folder(tmp_path / "nats")
    for path in folder.glob("0*.pbz2"):
        content = pickle.dumps(pickle.loads(bz2.decompress(path.read_bytes())), protocol=3)
        path.write_bytes(bz2.compress(content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")))
    assert import_nasbench201(folder, tmp_path / "out.parquet", SPACE) == 3
    old, new = b"numpy.core.multiarray\n", b"numpy._core.multiarray\n"
    with (
        zipfile.ZipFile(pth_file(tmp_path / "new")) as made,
        zipfile.ZipFile(tmp_path / "old.pth", "w") as renamed,
    ):
        for name in made.namelist():
            renamed.writestr(name, made.read(name).replace(new, old))
            assert new in made.read(name) or not name.endswith("data.pkl")
    assert import_nasbench201(tmp_path / "old.pth", tmp_path / "out.parquet", SPACE) == 3


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("run",)


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edits the file of cell 1 in a NATS folder."""
    path = folder / "000001.pickle.pbz2"
    content = pickle.loads(bz2.decompress(path.read_bytes()))
    edit(content)
    dump(path, content)


def results(content: dict[str, Any], name: str = "200") -> dict[tuple[str, int], dict[str, Any]]:
    found: dict[tuple[str, int], dict[str, Any]] = content[name]["all_results"]
    return found


def to_fractions(folder: Path) -> None:
    for path in folder.glob("0*.pbz2"):
        content = pickle.loads(bz2.decompress(path.read_bytes()))
        if "200" in content:
            for one in results(content).values():
                one["eval_acc1es"] = {key: value / 100 for key, value in one["eval_acc1es"].items()}
            dump(path, content)


def _laughs() -> list[Any]:
    """A few bytes in a pickle, and more than can be written as text."""
    found: list[Any] = []
    for _ in range(100):
        found = [found, found]
    return found


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "000001.pickle.pbz2").unlink(), "there is no file"),
        (lambda d: (d / "000001.pickle.pbz2").write_bytes(b"BZh9junk"), "is damaged"),
        (lambda d: (d / "000001.pickle.pbz2").write_bytes(b"version https://git-lfs"), "Git-LFS pointer"),
        (lambda d: (d / "meta.pickle.pbz2").unlink(), "there is no file .*meta"),
        (lambda d: dump(d / "meta.pickle.pbz2", {"meta_archs": 1}), "no list of its cells"),
        (lambda d: dump(d / "meta.pickle.pbz2", {"meta_archs": [1]}), "no list of its cells"),
        (lambda d: dump(d / "meta.pickle.pbz2", {"meta_archs": np.zeros(2)}), "no list of its cells"),
        (lambda d: change(d, lambda c: c["200"].update(arch_str=np.zeros(3))), "holds cell ndarray"),
        (lambda d: change(d, lambda c: c["200"].update(arch_str=_laughs())), "holds cell list"),
        (lambda d: dump(d / "meta.pickle.pbz2", [1]), "no list of its cells"),
        (lambda d: dump(d / "000001.pickle.pbz2", Evil()), "asks for builtins.print"),
        (lambda d: change(d, lambda c: c["200"].update(arch_str=ARCHS[0])), "is filed there"),
        (lambda d: change(d, lambda c: c.update({"90": c["12"]})), "trainings called '90'"),
        (lambda d: change(d, lambda c: c.update({"200": c["12"]})), "12 epochs is filed under .* and 200"),
        (
            lambda d: change(d, lambda c: results(c).pop(("cifar100", 888))),
            "no training on cifar100 for 200 epochs",
        ),
        (
            lambda d: change(
                d, lambda c: results(c).update({("cifar10-valid", 888): results(c)["cifar10", 888]})
            ),
            "a training on cifar10 for 200 epochs is filed under cifar10-valid",
        ),
        (
            lambda d: change(d, lambda c: results(c)["cifar100", 888]["eval_acc1es"].pop("x-test@199")),
            "no accuracy x-test@199",
        ),
        (
            lambda d: change(
                d, lambda c: results(c)["cifar100", 888]["eval_acc1es"].update({"x-test@199": 193.0})
            ),
            "is 193, and the file holds percent",
        ),
        (lambda d: change(d, lambda c: results(c)["cifar100", 888].pop("params")), "there is no 'params'"),
        (lambda d: change(d, lambda c: c.pop("200")), "2 accuracies|1 of 3 accuracies are missing"),
        (to_fractions, "it holds fractions"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path,
    damage: Callable[[Path], object],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = nats_folder(tmp_path / "nats")
    if damage is to_fractions:
        (folder / "0.pickle.pbz2").rename(folder / "000000.pickle.pbz2")
    damage(folder)
    with pytest.raises(UserError, match=message):
        import_nasbench201(folder, tmp_path / "out.parquet", SPACE)
    assert not (tmp_path / "out.parquet").exists()
    assert capsys.readouterr().out == "", "nothing was run"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"meta_archs": ARCHS}, "holds no results"),
        ({"meta_archs": 1}, "no list of its cells"),
        ([1], "no list of its cells"),
        (Evil(), "was not loaded"),
    ],
)
def test_pth_files_of_another_content_are_errors(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "nb.pth")
    with pytest.raises(UserError, match=message):
        import_nasbench201(tmp_path / "nb.pth", tmp_path / "out.parquet", SPACE)


def test_the_command_makes_a_table_that_verifies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = nats_folder(tmp_path / "nats"), tmp_path / "nb201.parquet"
    assert main(["import", "nb201", str(folder), "--out", str(out)]) == 0
    assert "3 cells" in capsys.readouterr().out
    assert main(["verify", str(out), "--space", "nasbench201"]) == 0


PUBLISHED = {  # parameters and "flop" of the official files, in millions, on CIFAR-10
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|": (
        0.129306,
        15.64737,
    ),
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|none~0|nor_conv_3x3~1|avg_pool_3x3~2|": (
        0.802426,
        113.95137,
    ),
    "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|none~0|nor_conv_1x1~1|none~2|": (0.101306, 11.71521),
}


@pytest.mark.parametrize("arch", PUBLISHED)
def test_the_flops_of_the_official_files_are_multiply_adds(arch: str) -> None:
    """As the docstring of `acenas.tables.schema` says; `Cost.flops_m` counts more."""
    cost = count_cost(SPACE.build(arch, num_classes=10), (3, 32, 32))
    assert (cost.params_m, cost.macs_m) == pytest.approx(PUBLISHED[arch])
    assert cost.flops_m > 1.03 * cost.macs_m


def test_a_pth_file_damaged_anywhere_is_one_sentence_or_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "cells.pth"
    torch.save({"meta_archs": [ARCHS[0]], "arch2infos": {}}, path)
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
        with pytest.raises(UserError, match=r"cells.pth"):
            import_nasbench201(path, tmp_path / "out.parquet", SPACE)
