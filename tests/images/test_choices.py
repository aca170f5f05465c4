"""The choices of conf/images build the tasks that their comments promise."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from acenas.__main__ import conf_dir
from acenas.images import CIFAR10, CIFAR100, Augmentation, ImageNet16, ImageTask
from tests.images.official import cifar10_files, cifar100_files, imagenet16_files, make_official, write
from tests.images.test_encoded import encoded

MIRRORED = Augmentation(padding=4, flip=True)


def choice(name: str, data_dir: Path | None) -> DictConfig:
    config = OmegaConf.load(Path(conf_dir()) / "images" / f"{name}.yaml")
    whole = OmegaConf.create({"data_dir": None if data_dir is None else str(data_dir), "images": config})
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
