"""Images on the disk: what is read of them, in which batches, and what is said of files that are wrong."""

import codecs
import math
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from acenas.errors import UserError
from acenas.images import (
    Augmentation,
    ImageBatches,
    ImageFiles,
    ImageFolder,
    ImageTask,
    NameDivision,
    RandomDivision,
)
from acenas.images.base import ImagePart, Images
from acenas.images.decoding import converted
from acenas.images.files import Crops
from tests.training.final.example import CLASSES, task, write_data, write_images


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_data(folder)
    return folder


def seeded(*names: int) -> np.random.Generator:
    return np.random.default_rng(names)


# --- crops ---


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 600), st.integers(1, 600), st.integers(0, 1000))
def test_a_random_crop_lies_in_the_image(width: int, height: int, seed: int) -> None:
    left, upper, right, lower = Crops().random(width, height, seeded(seed))
    assert 0 <= left < right <= width and 0 <= upper < lower <= height


def test_random_crops_have_the_areas_and_shapes_asked_for() -> None:
    crops, random = Crops(scale=(0.1, 0.5), ratio=(0.5, 2.0)), seeded(0)
    boxes = np.array([crops.random(2000, 2000, random) for _ in range(3000)])
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    area, shape = width * height / 2000**2, np.log(width / height) / math.log(2)
    assert area.min() > 0.099 and area.max() < 0.501 and abs(area.mean() - 0.3) < 0.01
    assert shape.min() > -1.01 and shape.max() < 1.01 and abs(shape.mean()) < 0.03
    assert abs(np.corrcoef(boxes[:, 0], boxes[:, 1])[0, 1]) < 0.1


def test_where_no_crop_fits_the_largest_in_the_middle_is_taken() -> None:
    left, upper, right, lower = Crops(scale=(1.0, 1.0)).random(1000, 10, seeded(0))
    assert (upper, lower) == (0, 10) and right - left == pytest.approx(10 * 4 / 3, abs=1)
    assert left + right == 1000


def test_the_middle_is_the_resized_image_cut_in_the_middle(tmp_path: Path) -> None:
    """As the field does it in two steps: the shorter side to 64, and 56 x 56 of the middle."""
    rows, columns = np.mgrid[:120, :200]
    pixels = np.stack([rows * 2, columns, (rows + columns) // 2], axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    found = Crops(size=56, centre=56 / 64).read(tmp_path / "picture.png", None)
    resized = Image.fromarray(pixels).resize((round(200 * 64 / 120), 64), Image.Resampling.BICUBIC)
    left = (resized.width - 56) // 2
    expected = np.asarray(resized.crop((left, 4, left + 56, 60))).transpose(2, 0, 1)
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 2


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "LA"])
def test_images_of_every_kind_become_colour_images(tmp_path: Path, mode: str) -> None:
    path = tmp_path / f"picture.{'jpg' if mode == 'CMYK' else 'png'}"
    Image.new("RGB", (20, 12), (204, 204, 204)).convert(mode).save(path)
    pixels = Crops(size=4).read(path, seeded(0))
    assert pixels.shape == (3, 4, 4) and np.abs(pixels.astype(int) - 204).max() <= 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 0}, "size must be at least 1"),
        ({"scale": (0.5, 0.1)}, "scale must be two numbers above 0, the smaller first"),
        ({"scale": (0.5, 1.5)}, "at most 1"),
        ({"centre": 0.0}, "parts of an image"),
        ({"ratio": (0.5,)}, "ratio must be two numbers"),
        ({"interpolations": ("cubic",)}, "no interpolation 'cubic'; choose from bilinear"),
        ({"interpolations": ()}, "at least one"),
    ],
)
def test_crops_that_make_no_sense_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Crops(**values)


# --- batches ---


def batches(files: ImagePart, workers: int, size: int = 5, **options: Any) -> list[Images]:
    assert isinstance(files, ImageFiles)
    files = ImageFiles(files.folder, files.names, files.labels, files.crops, workers, "skip")
    return list(ImageBatches(files, size, torch.Generator().manual_seed(1), **options))


def test_batches_are_the_same_whatever_the_workers_and_processes(root: Path) -> None:
    train = task(root).splits.train
    alone = batches(train, 0, crops=7)
    for others in (
        batches(train, 2, crops=7),
        [b for pair in zip(*(batches(train, 0, 5, crops=7, rank=r, world_size=2) for r in (0, 1)), strict=True)
         for b in pair],
    ):  # fmt: skip
        for ours, theirs in zip(alone, others, strict=False):
            assert torch.equal(ours.images, theirs.images) and torch.equal(ours.labels, theirs.labels)
    assert not torch.equal(batches(train, 0, crops=8)[0].images, alone[0].images), "the seed decides"


def test_labels_follow_the_images_and_evaluation_shows_each_once(root: Path) -> None:
    of = task(root, workers=1)
    splits = of.splits
    assert splits.classes == CLASSES and splits.image_shape == (3, 8, 8) and splits.num_classes == 3
    assert [len(p.labels) for p in (splits.train, splits.valid, splits.test)] == [27, 9, 9]
    train, valid = (part.names for part in (splits.train, splits.valid))
    assert train is not None and valid is not None and not {*train.tolist()} & {*valid.tolist()}
    for part in (splits.train, splits.valid, splits.test):
        assert part.names is not None
        folders = [name.decode().split("/")[1] for name in part.names.tolist()]
        assert [CLASSES[label] for label in part.labels.tolist()] == folders
    seen = [of.evaluation_batches("test", 4, rank=rank, world_size=2) for rank in (0, 1)]
    labels = torch.cat([batch.labels for share in seen for batch in share])
    assert labels.bincount().tolist() == [3, 3, 3]
    (batch,) = of.evaluation_batches("test", 9)
    dominant = (batch.images * 60 + 120).mean((2, 3)).argmax(1)  # the colour of the class
    assert torch.equal(2 - dominant, batch.labels)


def test_they_are_small_and_not_held_in_memory(root: Path) -> None:
    train = task(root).splits.train
    with pytest.raises(UserError, match="read from the disk as they are needed"):
        _ = train.images
    with pytest.raises(UserError, match="needs all of them in memory"):
        next(ImageTask(task(root).source, evaluation=Augmentation(noise=0.1)).evaluation_batches("valid", 2))
    assert len(pickle.dumps(train)) < 6000
    joined = train.joined(task(root).splits.valid)
    assert joined.names is not None and len(set(joined.names.tolist())) == 36


def test_a_damaged_image_is_replaced_while_training_and_left_out_while_measuring(tmp_path: Path) -> None:
    write_data(tmp_path)
    (tmp_path / "train" / "red" / "red_3.jpg").write_bytes(b"\xff\xd8\xff")
    train = task(tmp_path).splits.train.joined(task(tmp_path).splits.valid)
    assert [len(b.labels) for b in train.batches([torch.arange(36)], crops=1)] == [36]
    assert [len(b.labels) for b in train.batches([torch.arange(36)])] == [35]
    assert list(train.damaged) == ["train/red/red_3.jpg"]
    assert train.names is not None
    only = torch.from_numpy(np.flatnonzero(train.names == b"train/red/red_3.jpg"))
    assert list(train.batches([only])) == []


# --- where they come from ---


def source(root: Path, train: str = "train", test: str = "val", **options: Any) -> ImageFolder:
    mean = (0.0, 0.0, 0.0)
    division = options.pop("division", RandomDivision("train", (None, 3)))
    return ImageFolder(root, train, test, division, mean, (1.0, 1.0, 1.0), "mine", **options)


def test_index_files_name_images_and_labels(root: Path) -> None:
    (root / "lists").mkdir(exist_ok=True)
    (root / "lists" / "some.txt").write_text(
        "../train/red/red_0.jpg 1\n\n../train/a b.png 0\n", encoding="utf-8"
    )
    Image.new("RGB", (9, 9)).save(root / "train" / "a b.png")
    (root / "one.txt").write_text("val/green/green_1.png 1", encoding="utf-8")
    splits = source(
        root, "lists/some.txt", "one.txt", division=RandomDivision("train", (1, 1)), workers=0
    ).load()
    assert splits.num_classes == 2 and splits.classes == ()
    both = splits.train.joined(splits.valid)
    assert both.names is not None
    assert dict(zip(both.names.tolist(), both.labels.tolist(), strict=True)) == {
        b"train/red/red_0.jpg": 1, b"train/a b.png": 0,
    }  # fmt: skip
    assert [len(b.labels) for b in both.batches([torch.arange(2)], 0)] == [2]


def test_names_of_a_list_are_put_aside(root: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("blue_1.png\nsomewhere/red_2.JPEG\n", encoding="utf-8")
    splits = source(root, division=NameDivision("train", names, size=2)).load()
    assert splits.valid.names is not None
    assert splits.valid.names.tolist() == [b"train/blue/blue_1.png", b"train/red/red_2.JPEG"]
    assert len(splits.train.labels) == 34
    with pytest.raises(
        UserError, match=r"names 2 images, of which 2 are among the 36 there are, .* should be 3"
    ):
        source(root, division=NameDivision("train", names, size=3)).load()
    with pytest.raises(UserError, match="these have no names"):
        NameDivision("train", names).indices(3)
    with pytest.raises(UserError, match="is missing: a text file"):
        NameDivision("train", tmp_path / "other.txt")


def broken(folder: Path) -> dict[str, str]:
    """Files and folders that are wrong, and what is said of them."""
    write_data(folder)
    (folder / "empty").mkdir()
    (folder / "other" / "yellow").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(folder / "other" / "yellow" / "a.png")
    (folder / "no_label.txt").write_text("train/red/red_0.jpg\n", encoding="utf-8")
    (folder / "high.txt").write_text("val/red/red_0.jpg 3\n", encoding="utf-8")
    (folder / "binary.txt").write_bytes(b"\xff\xfe\x00")
    return {
        "nowhere": "nowhere is missing: a folder with a folder of images for each class, or a text file",
        "empty": "empty has no images",
        "other": "must have the same class folders; blue is in one of them only",
        "no_label.txt": "no_label.txt, line 1: 'train/red/red_0.jpg' is not a path and, after a space, a label",
        "high.txt": "has the label 3, and .*train has 3 classes",
        "binary.txt": r"line 1: '\\udcff\\udcfe\\x00' is not a path",
    }


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    for test, message in broken(tmp_path).items():
        with pytest.raises(UserError, match=message):
            source(tmp_path, test=test).load()
    (tmp_path / "gap.txt").write_text("val/red/red_0.jpg 2\nval/red/red_1.png 1\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"gap.txt .* has no image with the label 0, and some with 2"):
        source(tmp_path, "gap.txt").load()
    with pytest.raises(UserError, match="workers must be at least 0"):
        source(tmp_path, workers=-1)
    with pytest.raises(UserError, match="on_damage is skip or fail"):
        source(tmp_path, on_damage="stop")
    with pytest.raises(UserError, match="set data_dir"):
        source(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_images_of_16_bits_are_scaled(tmp_path: Path, dtype: type[np.unsignedinteger[Any]]) -> None:
    ramp = np.linspace(0, np.iinfo(dtype).max, 64 * 64).reshape(64, 64).astype(dtype)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    assert Crops(size=32).read(tmp_path / "ramp.png", None).mean() == pytest.approx(127.5, abs=1)


def test_pixels_without_a_largest_value_are_damage(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pixels of mode F, and 8 or 16 bits are read"):
        converted(Image.new("F", (4, 4)), "RGB")


def test_folders_that_systems_leave_are_no_classes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_data(tmp_path)
    for name in (".ipynb_checkpoints", "__MACOSX", "lost+found"):
        (tmp_path / "train" / name).mkdir()
        Image.new("RGB", (9, 9)).save(tmp_path / "train" / name / "copy.png")
    (tmp_path / "train" / "red" / "._red_0.jpg").write_bytes(b"a resource fork")
    (tmp_path / "train" / "red" / "more").mkdir()
    (tmp_path / "train" / "README").touch()
    splits = source(tmp_path, workers=0).load()
    assert splits.classes == CLASSES and len(splits.train.labels) == 33
    (message,) = caplog.messages
    assert message == (
        f"{tmp_path / 'train'}: 6 files and folders are not read: .ipynb_checkpoints, README, __MACOSX, lost+found, "
        "red/._red_0.jpg, ..."
    )


@pytest.mark.parametrize("part", ["train", "val"])
def test_a_class_without_images_is_an_error(tmp_path: Path, part: str) -> None:
    write_data(tmp_path)
    for file in list((tmp_path / part / "blue").iterdir()):
        file.rename(file.with_suffix(".bmp"))
    message = (
        rf"{part}/blue is a class without images \(\d+ files are not read, such as blue/blue_0\.bmp\): give"
    )
    with pytest.raises(UserError, match=message):
        source(tmp_path).load()


def test_a_class_that_the_division_leaves_no_training_image_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_data(tmp_path)
    source(tmp_path, division=RandomDivision("train", (2, 3)), workers=0).load()
    assert any("of 3 classes have no training image" in message for message in caplog.messages)


def test_names_need_no_encoding(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_data(tmp_path)
    red, other = tmp_path / "train" / "red", os.fsdecode(b"r\xe9d")
    (red / "red_0.jpg").rename(red / os.fsdecode(b"caf\xe9.jpg"))
    for part in ("train", "val"):
        (tmp_path / part / "red").rename(tmp_path / part / other)
    (tmp_path / "train" / other / "red_1.png").write_bytes(b"damaged")
    splits = source(tmp_path, workers=0).load()
    assert splits.classes == ("blue", "green", "r\\xe9d")
    everything = splits.train.joined(splits.valid)
    assert everything.names is not None and b"train/r\xe9d/caf\xe9.jpg" in everything.names.tolist()
    (batch,) = everything.batches([torch.arange(36)])
    assert len(batch.labels) == 35
    assert list(everything.damaged) == ["train/r\\xe9d/red_1.png"] and caplog.text.encode()
    (tmp_path / "a.txt").write_bytes(
        codecs.BOM_UTF8 + b"train/r\xe9d/caf\xe9.jpg 0\r\ntrain/blue/blue_0.jpg 1"
    )
    (tmp_path / "b.txt").write_text("val/blue/blue_0.jpg 0")
    listed = source(tmp_path, "a.txt", "b.txt", division=RandomDivision("train", (1, 1)), workers=0).load()
    read = [list(part.batches([torch.arange(1)])) for part in (listed.train, listed.valid, listed.test)]
    assert list(map(len, read)) == [1, 1, 1]


@pytest.mark.parametrize("part", ["train", "val"])
def test_where_no_image_can_be_read_nothing_begins(tmp_path: Path, part: str) -> None:
    write_data(tmp_path)
    for which in ("train", "val"):
        names = [f"{path.relative_to(tmp_path)} 0\n" for path in (tmp_path / which / "red").iterdir()]
        wrong = "wrong/" if which == part else ""
        (tmp_path / f"{which}.txt").write_text("".join(wrong + name for name in names), encoding="utf-8")
    with pytest.raises(
        UserError, match=r"of \d+ images .* cannot be read, such as .*/wrong/.* \(No such file"
    ):
        source(tmp_path, "train.txt", "val.txt", workers=0).load()


def test_a_few_damaged_images_are_left_out_and_more_are_an_error(tmp_path: Path) -> None:
    write_images(tmp_path / "train", 20)
    write_images(tmp_path / "val", 3, seed=1)
    files = sorted((tmp_path / "train").rglob("*.png"))
    for count, file in enumerate(files[:4], start=1):
        file.write_bytes(b"damaged")
        if count == 3:  # 5 % of 60
            everything(tmp_path).check()
            assert sum(len(batch.labels) for batch in everything(tmp_path).batches([torch.arange(60)])) == 57
    with pytest.raises(UserError, match=r"4 of 60 images .* cannot be read, .* too many to be left out"):
        everything(tmp_path).check()
    with pytest.raises(UserError, match=r"4 of 60 images .* cannot be read"):
        list(everything(tmp_path).batches([torch.arange(60)], crops=0))
    with pytest.raises(UserError, match="get it again, or say on_damage=skip"):
        everything(tmp_path, on_damage="fail").check()


def everything(root: Path, **options: Any) -> ImageFiles:
    """The training images, undivided."""
    names = [str(path.relative_to(root)).encode() for path in sorted((root / "train").rglob("*.*"))]
    options = {"crops": Crops(size=8), "workers": 0, "on_damage": "skip", **options}
    return ImageFiles(root, np.array(names), torch.zeros(len(names), dtype=torch.long), **options)
