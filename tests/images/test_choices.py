"""The choices of conf/images build the tasks that their comments promise."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from acenas.errors import UserError
from acenas.images import CIFAR10, CIFAR100, Augmentation, Division, ImageNet16, ImageTask
from acenas.run.config import conf_dir
from tests.images.official import cifar10_files, cifar100_files, imagenet16_files, make_official, write
from tests.images.test_encoded import encoded

MIRRORED = Augmentation(padding=4, flip=True)


def choice(name: str, data_dir: Path | None, *overrides: str) -> DictConfig:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        place = "null" if data_dir is None else f"'{data_dir}'"
        whole = compose(f"images/{name}", overrides=[f"+data_dir={place}", *overrides])
    images: DictConfig = whole.images
    return images


def sizes(task: ImageTask) -> list[int]:
    return [len(getattr(task.splits, part).labels) for part in ("train", "valid", "test")]


def test_digits_are_noisy_in_training_and_measuring() -> None:
    task: ImageTask = instantiate(choice("digits", None))
    assert task.augmentation == task.evaluation == Augmentation(padding=1, noise=0.8)
    assert task.draws == 4 and sizes(task) == [997, 400, 400]


def test_cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = cifar10_files()
    make_official(monkeypatch, CIFAR10, files)
    write(tmp_path / CIFAR10.folder, files)
    config = choice("cifar10", tmp_path)
    assert config.source.division.sizes == [25000, 25000]
    assert tuple(config.source.mean) == CIFAR10.mean_of_benchmark
    assert tuple(config.source.std) == CIFAR10.std_of_benchmark
    config.source.division.sizes = [60, 40]
    task: ImageTask = instantiate(config)
    assert (task.augmentation, task.evaluation, task.draws) == (MIRRORED, Augmentation(), 1)
    assert sizes(task) == [60, 40, 20]


def test_cifar100(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = cifar100_files()
    make_official(monkeypatch, CIFAR100, files)
    write(tmp_path / CIFAR100.folder, files)
    config = choice("cifar100", tmp_path)
    assert config.source.division.sizes == [5000, 5000]
    assert tuple(config.source.mean) == CIFAR100.mean_of_benchmark
    assert tuple(config.source.std) == CIFAR100.std_of_benchmark
    config.source.division.sizes = [12, 8]
    task: ImageTask = instantiate(config)
    assert (task.augmentation, task.evaluation, task.draws) == (MIRRORED, Augmentation(), 1)
    assert sizes(task) == [20, 12, 8]


def test_imagenet16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = imagenet16_files()
    make_official(monkeypatch, ImageNet16, files)
    write(tmp_path / "ImageNet16", files)
    config = choice("imagenet16", tmp_path)
    assert config.source.division.sizes == [3000, 3000]
    config.source.division.sizes = [2, 1]
    task: ImageTask = instantiate(config)
    assert task.augmentation == Augmentation(padding=2, flip=True)
    assert task.splits.num_classes == 120 and task.splits.image_shape == (3, 16, 16)


def test_cifar10_as_encoded_images(tmp_path: Path) -> None:
    (tmp_path / "cifar10").mkdir()
    picture = encoded(np.zeros((32, 32, 3), dtype=np.uint8))
    for part, count in (("train", 10), ("test", 4)):
        table = pa.table({"jpeg": [picture] * count, "label": list(range(count))})
        pq.write_table(table, tmp_path / "cifar10" / f"{part}.parquet")
    config = choice("cifar10_parquet", tmp_path)
    assert config.source.division.sizes == [25000, 25000]
    config.source.division.sizes = [6, 4]
    task: ImageTask = instantiate(config)
    assert (task.augmentation, task.evaluation, task.draws) == (MIRRORED, Augmentation(), 1)
    assert sizes(task) == [6, 4, 4] and task.source.name == "cifar10"


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "imagenet16", "cifar10_parquet"])
def test_without_data_the_error_says_where_it_is_looked_for(name: str, tmp_path: Path) -> None:
    with pytest.raises(InstantiationException, match="set data_dir or the environment variable ACENAS_DATA"):
        instantiate(choice(name, None))
    with pytest.raises(InstantiationException, match=r"is missing|is not in"):
        instantiate(choice(name, tmp_path))


DIVISIONS = {
    "cifar10": [("cifar10", 50_000, "train"), ("cifar10_supernet", 50_000, "train")],
    "cifar100": [("cifar100", 10_000, "test")],
    "imagenet16": [("imagenet16", 6_000, "test")],
}


@pytest.mark.parametrize(
    ("images", "name", "count", "of"), [(k, *v) for k, vs in DIVISIONS.items() for v in vs]
)
def test_divisions_take_every_image(images: str, name: str, count: int, of: str) -> None:
    config = choice(images, None, f"images/division@images.source.division={name}").source.division
    division: Division = instantiate(config)
    first, second = division.indices(count)
    assert division.of == of and sorted([*first.tolist(), *second.tolist()]) == list(range(count))
    assert len(second) == (10_000 if name == "cifar10_supernet" else count // 2)
    if name == "cifar10_supernet":
        assert second.tolist() == list(range(40_000, 50_000)), "the fifth file"


@pytest.mark.parametrize(
    ("images", "file", "keys", "count"),
    [
        ("cifar10", "cifar-split.txt", ("train", "valid"), 50_000),
        ("cifar100", "cifar100-test-split.txt", ("xvalid", "xtest"), 10_000),
        ("imagenet16", "imagenet-16-120-test-split.txt", ("xvalid", "xtest"), 6_000),
    ],
)
def test_official_divisions_are_read_from_their_index_files(
    tmp_path: Path, images: str, file: str, keys: tuple[str, str], count: int
) -> None:
    parts = {key: ["int", [str(n) for n in range(start, count, 2)]] for start, key in enumerate(keys)}
    (tmp_path / file).write_text(json.dumps(parts), encoding="utf-8")
    official = f"images/division@images.source.division={images}_official"
    division: Division = instantiate(choice(images, tmp_path, official).source.division)
    with pytest.raises(UserError, match="has the MD5"):
        division.indices(count)
    own = choice(images, tmp_path, official, "images.source.division.md5=null").source.division
    first, second = instantiate(own).indices(count)
    assert first.tolist() == list(range(0, count, 2)) and second.tolist() == list(range(1, count, 2))
