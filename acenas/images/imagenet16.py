"""ImageNet16-120: images of the down-sampled ImageNet (Chrabaszcz et al., arXiv 1707.08819), 16 x 16."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
from typing_extensions import override

from acenas.errors import UserError
from acenas.images.base import Images, ImageSource, ImageSplits, channel_values
from acenas.images.official import check_md5, data_root, images_of_batch, missing
from acenas.images.splits import Division

PAGE = "https://image-net.org/download-images (downsampled ImageNet, 16 x 16)"
SIDE = 16


class ImageNet16(ImageSource):
    """The first classes of ImageNet16, as NAS-Bench-201 takes 120: 151,700 and 6,000 images, 3 x 16 x 16.

    NAS-Bench-201 trains on all training images and divides the others in halves for validation and testing.

    Args:
        root: folder that holds `folder`.
        division: makes three parts of the official training and validation images (which are the `test` of it).
        num_classes: classes that are kept, in the order of the release's labels, which start at 1.
        folder: name of the folder with the official files `train_data_batch_1` to `_10` and `val_data`.
        mean: of each channel, in the unit of the bytes.
        std: standard deviation of each channel, in the unit of the bytes.
        verify: whether the MD5 of every file is checked.

    Raises:
        UserError: where `folder` is not in `root`, or `num_classes` is not within 1 and 1000.
    """

    name = "imagenet16"
    train_files: ClassVar = {
        "train_data_batch_1": "27846dcaa50de8e21a7d1a35f30f0e91",
        "train_data_batch_2": "c7254a054e0e795c69120a5727050e3f",
        "train_data_batch_3": "4333d3df2e5ffb114b05d2ffc19b1e87",
        "train_data_batch_4": "1620cdf193304f4a92677b695d70d10f",
        "train_data_batch_5": "348b3c2fdbb3940c4e9e834affd3b18d",
        "train_data_batch_6": "6e765307c242a1b3d7d5ef9139b48945",
        "train_data_batch_7": "564926d8cbf8fc4818ba23d2faac7564",
        "train_data_batch_8": "f4755871f718ccb653440b9dd0ebac66",
        "train_data_batch_9": "bb6dd660c38c58552125b1a92f86b5d4",
        "train_data_batch_10": "8f03f34ac4b42271a294f91bf480f29b",
    }
    test_files: ClassVar = {"val_data": "3410e3017fdaefba8d5073aaa65e4bd6"}

    def __init__(
        self,
        root: str | Path | None,
        division: Division,
        num_classes: int = 120,
        folder: str = "ImageNet16",
        mean: Sequence[float] = (122.68, 116.66, 104.01),
        std: Sequence[float] = (63.22, 61.26, 65.09),
        verify: bool = True,
    ) -> None:
        if not 1 <= num_classes <= 1000:
            raise UserError(f"ImageNet16: num_classes must lie between 1 and 1000, not at {num_classes}")
        holds = f"{folder}/ with train_data_batch_1 to _10 and val_data (from {PAGE})"
        self.folder = data_root(root, holds) / folder
        self.division = division
        self.num_classes = num_classes
        self.mean = channel_values(mean, 3)
        self.std = channel_values(std, 3)
        self.verify = verify
        for file, md5 in {**self.train_files, **self.test_files}.items():
            if not (self.folder / file).is_file():
                raise missing(self.folder / file, md5, PAGE)

    @override
    def load(self) -> ImageSplits:
        train, test = (self._joined(files) for files in (self.train_files, self.test_files))
        return ImageSplits(*self.division.divide(train, test), self.num_classes, self.mean, self.std)

    def _joined(self, files: dict[str, str]) -> Images:
        kept = [self._kept(self.folder / name, md5) for name, md5 in files.items()]
        return Images(*(torch.cat(tensors) for tensors in zip(*kept, strict=True)))

    def _kept(self, path: Path, md5: str) -> Images:
        content = path.read_bytes()
        if self.verify:
            check_md5(content, md5, path, PAGE)
        images, labels = images_of_batch(content, path.name, "labels", SIDE, 1, 1000)
        kept = labels <= self.num_classes
        return Images(images[kept], labels[kept] - 1)
