from pathlib import Path

import numpy as np
import pytest

from acenas.errors import UserError
from acenas.images import ImageNet16, RandomDivision
from tests.images.official import imagenet16_files, make_official, planes, write

FILES = imagenet16_files()
LABELS = {name: [1 + (number + 50 * i) % 1000 for i in range(20)] for number, name in enumerate(FILES)}
TRAIN = [name for name in FILES if name != "val_data"]


def test_the_classes_up_to_120_are_kept_in_the_order_of_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_official(monkeypatch, ImageNet16, FILES)
    write(tmp_path / "ImageNet16", FILES)
    splits = ImageNet16(tmp_path, RandomDivision("test", (2, 1))).load()
    images, labels = [], []
    for name in TRAIN:
        for image, label in zip(planes(FILES[name], 16), LABELS[name], strict=True):
            if label <= 120:
                images.append(image)
                labels.append(label - 1)
    assert 0 < len(labels) < 200
    assert np.array_equal(splits.train.images.numpy(), np.stack(images))
    assert splits.train.labels.tolist() == labels and splits.num_classes == 120
    validation = sorted(label - 1 for label in LABELS["val_data"] if label <= 120)
    assert sorted(splits.valid.labels.tolist() + splits.test.labels.tolist()) == validation
    assert (len(splits.valid.labels), len(splits.test.labels)) == (2, 1)
    assert splits.mean == (122.68, 116.66, 104.01) and splits.std == (63.22, 61.26, 65.09)


def test_all_classes_can_be_kept(tmp_path: Path) -> None:
    write(tmp_path / "small", FILES)
    source = ImageNet16(
        tmp_path, RandomDivision("test", (10, 10)), num_classes=1000, folder="small", verify=False
    )
    train = source.load().train
    assert train.labels.tolist() == [label - 1 for name in TRAIN for label in LABELS[name]]


def test_missing_and_damaged_files_are_named_with_their_checksum(tmp_path: Path) -> None:
    division = RandomDivision("test", (2, 1))
    write(tmp_path / "ImageNet16", {name: FILES[name] for name in TRAIN})
    with pytest.raises(
        UserError, match=r"val_data is missing .*3410e3017fdaefba8d5073aaa65e4bd6.*image-net.org"
    ):
        ImageNet16(tmp_path, division)
    write(tmp_path / "ImageNet16", FILES)
    with pytest.raises(UserError, match=r"train_data_batch_1 is damaged.*27846dcaa50de8e21a7d1a35f30f0e91"):
        ImageNet16(tmp_path, division).load()


@pytest.mark.parametrize("num_classes", [0, 1001])
def test_classes_that_are_not_there_are_refused(tmp_path: Path, num_classes: int) -> None:
    with pytest.raises(UserError, match="num_classes must lie between 1 and 1000"):
        ImageNet16(tmp_path, RandomDivision("test", (2, 1)), num_classes=num_classes)
