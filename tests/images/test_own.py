"""Images of one's own: arrays, torch data sets, and folders without a split."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image
from torch.utils.data import Dataset, TensorDataset

from acenas.errors import UserError
from acenas.images import Augmentation, Crops, Division, ImageFolder, ImageTask, OwnImages, RandomDivision
from acenas.run.config import conf_dir

WHOLE = RandomDivision("whole", (5, 3, 2))


def bytes_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


class Pictures(Dataset[Any]):
    """Pillow images in the mode of the argument."""

    def __init__(self, mode: str = "L", count: int = 10) -> None:
        self.mode, self.count = mode, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> tuple[Image.Image, int]:
        return Image.new(self.mode, (5, 4), i), i % 2


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((10, 28, 20), (1, 28, 20)),
        ((10, 16, 16, 3), (3, 16, 16)),
        ((10, 3, 16, 16), (3, 16, 16)),
        ((10, 13, 64, 48), (13, 64, 48)),
    ],
)
def test_arrays_of_any_size_and_number_of_channels(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    images = bytes_of(*shape)
    splits = OwnImages((images, np.arange(10) % 3), division=WHOLE).load()
    assert splits.image_shape == expected and splits.num_classes == 3
    assert [len(part.labels) for part in (splits.train, splits.valid, splits.test)] == [5, 3, 2]
    assert splits.train.images.dtype == torch.uint8
    normal = splits.normalise(splits.train.images)
    assert normal.mean((0, 2, 3)).abs().max() < 1e-4 and (normal.std((0, 2, 3)) - 1).abs().max() < 1e-3
    pixels = torch.cat([part.images.flatten() for part in (splits.train, splits.valid, splits.test)])
    assert pixels.long().sum() == images.sum()


def test_the_layout_of_an_image_is_kept() -> None:
    images = bytes_of(10, 16, 16, 3)
    last, first = (
        OwnImages((given, [0, 1] * 5), division=WHOLE).load()
        for given in (images, images.transpose(0, 3, 1, 2))
    )
    assert torch.equal(last.train.images, first.train.images)
    labels = OwnImages((images, list(range(10))), division=WHOLE).load().train
    assert np.array_equal(labels.images[0].permute(1, 2, 0), images[int(labels.labels[0])])


def test_floats_stay_floats_and_colour_is_for_bytes() -> None:
    data = TensorDataset(torch.rand(10, 3, 8, 8, dtype=torch.float64), torch.arange(10) % 2)
    source = OwnImages(data, mean=[0.5] * 3, std=[0.25] * 3)
    task = ImageTask(source, Augmentation(padding=1, flip=True))
    assert task.splits.train.images.dtype == torch.float32 and task.splits.mean == (0.5,) * 3
    assert len(task.splits.train.labels) == 6
    assert task.augmented(task.splits.train.images, torch.Generator()).shape == (6, 3, 8, 8)
    with pytest.raises(UserError, match="colour needs images of bytes"):
        ImageTask(source, Augmentation(colour=0.4)).augmented(task.splits.train.images, torch.Generator())


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("RGBA", 4)])
def test_a_torch_data_set_of_pictures(mode: str, channels: int) -> None:
    splits = OwnImages(Pictures(mode), Pictures(mode, 4)).load()
    assert splits.image_shape == (channels, 4, 5)
    assert [len(part.labels) for part in (splits.train, splits.valid, splits.test)] == [8, 2, 4]


def test_a_configuration_names_them() -> None:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        named = "images.source.train={_target_: tests.images.test_own.Pictures, mode: RGB}"
        config = compose("config", overrides=["experiment=digits_supernet", "images=own", named])
    task: ImageTask = instantiate(config.images)
    assert task.splits.image_shape == (3, 4, 5)


@pytest.mark.parametrize(
    ("train", "says"),
    [
        ((bytes_of(3, 8, 8), [0, 1]), "train has 3 images and 2 labels"),
        ((bytes_of(2, 8, 8), [0.5, 1]), "labels of train must be whole numbers"),
        ((bytes_of(2, 8, 8), [-1, 1]), "labels of train must be whole numbers from 0"),
        ((bytes_of(2, 8, 8), ["cat", "dog"]), "labels of train must be whole numbers from 0"),
        ((bytes_of(2, 8, 8), np.eye(2, dtype=int)), "labels of train must be .* one for each image"),
        ((np.full((2, 8, 8), np.nan), [0, 1]), "values of train that are not finite"),
        ((bytes_of(2, 8), [0, 1]), "an image is torch.uint8"),
        ((bytes_of(2, 8, 8).astype(np.int64), [0, 1]), "bytes or floats are needed"),
        (
            ([bytes_of(8, 8), bytes_of(8, 9)], [0, 1]),
            r"number 1 of train is .*\[1, 8, 9\].*bring all to one size",
        ),
        ([1, 2, 3], "is not a pair of an image and its label"),
        (iter([1]), "not a list_iterator"),
    ],
)
def test_what_does_not_fit_is_said(train: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        OwnImages(train).load()


def test_two_parts_need_one_size() -> None:
    with pytest.raises(UserError, match=r"\[1, 8, 8\], and those of test \[1, 9, 8\]"):
        OwnImages((bytes_of(4, 8, 8), [0, 1] * 2), (bytes_of(4, 9, 8), [0, 1] * 2)).load()


def folder_of_classes(root: Path, count: int = 10) -> Path:
    for name in ("cats", "dogs"):
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(bytes_of(20 + i, 30, 3)).save(root / name / f"{i}.png")
    return root


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_folder_without_a_split_is_divided_by_seed_and_shares(tmp_path: Path, channels: int) -> None:
    folder_of_classes(tmp_path)
    values = [1.0] * channels

    def load(seed: int) -> Any:
        division = RandomDivision("whole", (None, 0.2, 0.1), seed)
        return ImageFolder(tmp_path, ".", None, division, values, values, "pets", Crops(16), workers=0).load()

    splits = load(0)
    assert [len(part.labels) for part in (splits.train, splits.valid, splits.test)] == [14, 4, 2]
    assert splits.classes == ("cats", "dogs") and splits.image_shape == (channels, 16, 16)
    (batch,) = splits.valid.batches([torch.arange(4)])
    assert batch.images.shape == (4, channels, 16, 16)
    names = [set(part.names) for part in (splits.train, splits.valid, splits.test)]
    assert len(set.union(*names)) == 20
    assert names == [set(part.names) for part in (load(0).train, load(0).valid, load(0).test)]
    assert names[0] != set(load(1).train.names)


def test_the_folder_of_the_configuration(tmp_path: Path) -> None:
    folder_of_classes(tmp_path / "images")
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose(
            "config", overrides=["experiment=digits_supernet", "images=folder", f"data_dir={tmp_path}"]
        )
    splits = instantiate(config.images).splits
    assert splits.image_shape == (3, 64, 64) and len(splits.test.labels) == 4


def test_other_numbers_of_channels_and_divisions_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    folder_of_classes(tmp_path)
    with pytest.raises(UserError, match="mean needs 3 values"):
        ImageFolder(tmp_path, ".", None, WHOLE, [1.0] * 2, [1.0] * 2, "pets")
    train: Division = RandomDivision("train", (5, 5))
    for division, test, says in (
        (train, None, "of is train; these images need whole, with three sizes"),
        (WHOLE, (bytes_of(4, 8, 8), [0, 1] * 2), "of is whole; these images need train or test"),
    ):
        with pytest.raises(UserError, match=says):
            OwnImages((bytes_of(10, 8, 8), [0, 1] * 5), test, division).load()
    with pytest.raises(UserError, match="three numbers of at least 1, or shares"):
        RandomDivision("whole", (0.5, 0.5))
    with pytest.raises(UserError, match=r"need 3 images, and there are 2"):
        RandomDivision("whole", (0.6, 0.2, 0.2)).indices(2)
