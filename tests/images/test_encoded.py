import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import acenas.images.encoded
from acenas.errors import UserError
from acenas.images import EncodedImages, OrderedDivision, RandomDivision

PICTURES = np.random.default_rng(0).integers(0, 256, (1203, 4, 5, 3), dtype=np.uint8)


def encoded(picture: np.ndarray, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, kind)
    return out.getvalue()


def parquet(path: Path, images: list[Any], labels: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"jpeg": images, "label": labels}), path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    parquet(tmp_path / "train.parquet", [encoded(p) for p in PICTURES[:1200]], [i % 7 for i in range(1200)])
    parquet(tmp_path / "test.parquet", [encoded(p) for p in PICTURES[1200:]], [0, 1, 2])
    return tmp_path


def source(folder: Path | None, **changes: Any) -> EncodedImages:
    arguments: dict[str, Any] = {
        "train": "train.parquet",
        "test": "test.parquet",
        "division": OrderedDivision("train", (1000, 200)),
        "num_classes": 7,
        "mean": (1, 2, 3),
        "std": (4, 5, 6),
        "name": "small",
    }
    return EncodedImages(folder, **{**arguments, **changes})


def test_every_image_is_decoded_in_its_place(folder: Path) -> None:
    splits = source(folder).load()
    assert splits.image_shape == (3, 4, 5) and splits.mean == (1.0, 2.0, 3.0)
    for part, first, last in ((splits.train, 0, 1000), (splits.valid, 1000, 1200), (splits.test, 1200, 1203)):
        assert np.array_equal(part.images.permute(0, 2, 3, 1).numpy(), PICTURES[first:last])
    assert splits.valid.labels.tolist() == [i % 7 for i in range(1000, 1200)]


def test_jpegs_and_grey_images_are_read(folder: Path) -> None:
    smooth = np.full((4, 5), 90, dtype=np.uint8)
    parquet(folder / "test.parquet", [encoded(smooth, "JPEG"), encoded(smooth, "WEBP")], [0, 1])
    images = source(folder).load().test.images
    assert images.shape == (2, 3, 4, 5) and (images.int() - 90).abs().max() <= 2


def test_decoded_images_are_kept_where_that_is_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = folder / "cache"
    plain, first = source(folder).load(), source(folder, cache_dir=cache).load()
    files = sorted(cache.iterdir())
    assert len(files) == 2 and all(file.suffix == ".npy" for file in files)

    def refuse(*_: object) -> None:
        raise AssertionError("decoded again")

    with monkeypatch.context() as patch:
        patch.setattr(acenas.images.encoded, "_decoded", refuse)
        again = source(folder, cache_dir=cache).load()
    for part in ("train", "valid", "test"):
        ours = getattr(plain, part)
        for other in (getattr(first, part), getattr(again, part)):
            assert np.array_equal(ours.images.numpy(), other.images.numpy())
            assert np.array_equal(ours.labels.numpy(), other.labels.numpy())

    for file in files:  # a damaged file is made again
        file.write_bytes(file.read_bytes()[:100])
    mended = source(folder, cache_dir=cache).load()
    assert np.array_equal(mended.train.images.numpy(), plain.train.images.numpy())
    assert sorted(cache.iterdir()) == files

    parquet(folder / "test.parquet", [encoded(PICTURES[0])], [3])  # another file is another cache
    assert source(folder, cache_dir=cache).load().test.labels.tolist() == [3]
    assert len(list(cache.iterdir())) == 3


@pytest.mark.parametrize("damage", [b"", None, b"no image", encoded(PICTURES[0], "JPEG")[:-150]])
def test_a_damaged_image_is_named_by_file_and_row(folder: Path, damage: bytes | None) -> None:
    images = [encoded(p) for p in PICTURES[:1200]]
    parquet(folder / "train.parquet", [*images[:777], damage, *images[778:]], [0] * 1200)
    with pytest.raises(UserError, match=r"train.parquet, row 777: the image is damaged \([^<]*\)$"):
        source(folder).load()


@pytest.mark.parametrize(
    ("images", "labels", "says"),
    [
        ([encoded(PICTURES[0]), encoded(PICTURES[0][:3])], [0, 1], "row 1: an image of 5 x 3 pixels among"),
        ([encoded(PICTURES[0][:3])], [0], r"are \(3, 4, 5\), and those of .* \(3, 3, 5\); they must have one size"),
        ([encoded(PICTURES[0])], [7], "label must lie between 0 and 6, not 7 and 7"),
        ([encoded(PICTURES[0])], [-1], "label must lie between 0 and 6, not -1 and -1"),
        ([encoded(PICTURES[0])], [0.5], "whole numbers without gaps, not double"),
        ([encoded(PICTURES[0])] * 2, [0, None], "whole numbers without gaps"),
        ([], [], "holds no images"),
    ],
)  # fmt: skip
def test_files_that_do_not_fit_say_why(folder: Path, images: list[Any], labels: list[Any], says: str) -> None:
    parquet(folder / "test.parquet", images, labels)
    with pytest.raises(UserError, match=says):
        source(folder).load()


def test_a_missing_file_or_column_and_another_format_are_named(folder: Path) -> None:
    with pytest.raises(UserError, match=r"needs the columns \['png', 'label'\]; it has \['jpeg', 'label'\]"):
        source(folder, image_column="png").load()
    with pytest.raises(UserError, match=r"none.parquet is missing: a Parquet file of encoded images"):
        source(folder, test="none.parquet")
    with pytest.raises(UserError, match="set data_dir"):
        source(None)
    (folder / "test.parquet").write_bytes(b"PAR1 not really PAR1")
    with pytest.raises(UserError, match=r"test.parquet is damaged, or not what is due here"):
        source(folder).load()


def test_the_images_of_cifar10() -> None:
    root = os.environ.get("ACENAS_DATA")
    if root is None or not (Path(root) / "cifar10" / "test.parquet").is_file():
        pytest.skip("set ACENAS_DATA to the folder that holds cifar10/test.parquet")
    splits = EncodedImages(
        root,
        train="cifar10/test.parquet",  # 50,000 would take seconds
        test="cifar10/test.parquet",
        division=RandomDivision("train", (5000, 5000)),
        num_classes=10,
        mean=(125.3, 123.0, 113.9),
        std=(63.0, 62.1, 66.7),
        name="cifar10",
    ).load()
    assert splits.test.images.shape == (10000, 3, 32, 32)
    assert splits.test.labels.bincount().tolist() == [1000] * 10
    normalised = splits.normalise(splits.test.images)
    assert (
        normalised.mean((0, 2, 3)).abs().max() < 0.05 and (normalised.std((0, 2, 3)) - 1).abs().max() < 0.05
    )
