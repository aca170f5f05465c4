"""ImageNet16-120: images of the down-sampled ImageNet (Chrabaszcz et al., arXiv 1707.08819), 16 x 16."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from acenas.errors import UserError
from acenas.images.official import OfficialImages, data_root
from acenas.images.splits import Division


class ImageNet16(OfficialImages):
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
    page = "https://image-net.org/download-images (downsampled ImageNet, 16 x 16)"
    side = 16
    labels = (1, 1000)
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
        super().__init__(division, num_classes, mean, std, verify)
        holds = f"{folder}/ with train_data_batch_1 to _10 and val_data (from {self.page})"
        self.folder = data_root(root, holds) / folder
        for name in (*self.train_files, *self.test_files):
            if not (self.folder / name).is_file():
                raise self.missing(self.folder / name)

    @override
    def contents(self) -> Iterator[tuple[str, bytes]]:
        return self.read_folder(self.folder)
