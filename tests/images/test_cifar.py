from pathlib import Path

import numpy as np
import pytest

from acenas.errors import UserError
from acenas.images import CIFAR10, CIFAR100, OrderedDivision, RandomDivision
from tests.images.official import (
    cifar10_files,
    cifar100_files,
    make_official,
    planes,
    write,
    write_archive,
)

TEN, HUNDRED = cifar10_files(), cifar100_files()
LAST_FILE = OrderedDivision("train", (80, 20))
HALVES = RandomDivision("test", (10, 10))


@pytest.mark.parametrize("packed", [False, True])
def test_cifar10_is_read_from_the_folder_or_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    make_official(monkeypatch, CIFAR10, TEN)
    if packed:
        write_archive(tmp_path / CIFAR10.archive, CIFAR10.folder, dict(reversed(TEN.items())))
    else:
        write(tmp_path / CIFAR10.folder, TEN)
    splits = CIFAR10(tmp_path, LAST_FILE).load()
    assert splits.image_shape == (3, 32, 32) and splits.num_classes == 10
    for part, names in (
        (splits.train, list(TEN)[:4]),
        (splits.valid, ["data_batch_5"]),
        (splits.test, ["test_batch"]),
    ):
        images = np.stack([image for name in names for image in planes(TEN[name], 32)])
        assert np.array_equal(part.images.numpy(), images)
        numbers = [list(TEN).index(name) for name in names]
        assert part.labels.tolist() == [(n + i) % 10 for n in numbers for i in range(20)]
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(
        [CIFAR10.archive] if packed else [CIFAR10.folder, *TEN]
    ), "nothing is unpacked"


def test_cifar100_has_the_fine_labels_and_divides_the_test_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_official(monkeypatch, CIFAR100, HUNDRED)
    write_archive(tmp_path / CIFAR100.archive, CIFAR100.folder, HUNDRED)
    splits = CIFAR100(tmp_path, HALVES).load()
    assert splits.num_classes == 100
    assert np.array_equal(splits.train.images.numpy(), np.stack(list(planes(HUNDRED["train"], 32))))
    assert splits.train.labels.tolist() == [(7 * i) % 100 for i in range(20)]
    assert sorted([*splits.valid.labels.tolist(), *splits.test.labels.tolist()]) == sorted(
        (7 * i) % 100 for i in range(20)
    )


def test_statistics_are_the_benchmarks_unless_given(tmp_path: Path) -> None:
    write(tmp_path / CIFAR10.folder, TEN)
    splits = CIFAR10(tmp_path, LAST_FILE, verify=False).load()
    assert splits.mean == (125.3, 123.0, 113.9) and splits.std == (63.0, 62.1, 66.7)
    splits = CIFAR10(tmp_path, LAST_FILE, mean=[1, 2, 3], std=[4, 5, 6], verify=False).load()
    assert splits.mean == (1.0, 2.0, 3.0) and splits.std == (4.0, 5.0, 6.0)
    with pytest.raises(UserError, match="need 3 values"):
        CIFAR10(tmp_path, LAST_FILE, mean=[1])


def test_a_file_that_is_not_the_official_one_is_named_with_its_checksum(tmp_path: Path) -> None:
    write(tmp_path / CIFAR10.folder, TEN)
    with pytest.raises(UserError, match="data_batch_1 is damaged") as error:
        CIFAR10(tmp_path, LAST_FILE).load()
    assert "c99cafc152244af753f735de768cd75f" in str(error.value)
    assert "https://www.cs.toronto.edu/~kriz/cifar.html" in str(error.value)


@pytest.mark.parametrize("packed", [False, True])
def test_a_missing_file_is_named_with_its_checksum(tmp_path: Path, packed: bool) -> None:
    without = {name: content for name, content in TEN.items() if name != "data_batch_4"}
    if packed:
        write_archive(tmp_path / CIFAR10.archive, CIFAR10.folder, without)
    else:
        write(tmp_path / CIFAR10.folder, without)
    with pytest.raises(UserError, match="data_batch_4 is missing") as error:
        CIFAR10(tmp_path, LAST_FILE, verify=False).load()
    assert "634d18415352ddfa80567beed471001a" in str(error.value)
    assert "https://www.cs.toronto.edu/~kriz/cifar.html" in str(error.value)


@pytest.mark.parametrize("kept", [0, 100, 5000])
def test_a_damaged_archive_is_named_with_its_checksum(tmp_path: Path, kept: int) -> None:
    path = write_archive(tmp_path / CIFAR100.archive, CIFAR100.folder, HUNDRED)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"cifar-100-python.tar.gz is damaged") as error:
        CIFAR100(tmp_path, HALVES).load()
    assert "eb9058c3a382ffc7106e4002c42a8d85" in str(error.value)


def test_what_is_not_there_is_said_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="set data_dir or the environment variable ACENAS_DATA"):
        CIFAR10(None, LAST_FILE)
    with pytest.raises(UserError, match="there is no folder"):
        CIFAR10(tmp_path / "nowhere", LAST_FILE)
    with pytest.raises(UserError, match=r"CIFAR-10 is not in .* cifar-10-python.tar.gz \(MD5 c58f30108f"):
        CIFAR10(tmp_path, LAST_FILE)
