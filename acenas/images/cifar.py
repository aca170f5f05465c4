"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) from the official files for Python."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from acenas.errors import UserError
from acenas.files import reading
from acenas.images.official import OfficialImages, data_root
from acenas.images.splits import Division

_LARGEST = 1 << 28  # bytes of a file of an archive; a damaged one may expand to more


class Cifar(OfficialImages):
    """What CIFAR-10 and CIFAR-100 have in common.

    Args:
        root: folder that holds the official archive, or the folder that is in it.
        division: makes three parts of the official training and test images.
        mean: of each channel, in the unit of the bytes; None for NAS-Bench-201's.
        std: standard deviation of each channel, in the unit of the bytes; None for NAS-Bench-201's.
        verify: whether the MD5 of every file is checked.

    Raises:
        UserError: where neither archive nor folder is in `root`.
    """

    page = "https://www.cs.toronto.edu/~kriz/cifar.html"
    side = 32
    title: ClassVar[str]
    archive: ClassVar[str]
    archive_md5: ClassVar[str]
    folder: ClassVar[str]
    mean_of_benchmark: ClassVar[tuple[float, float, float]]
    std_of_benchmark: ClassVar[tuple[float, float, float]]

    def __init__(
        self,
        root: str | Path | None,
        division: Division,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        verify: bool = True,
    ) -> None:
        mean, std = mean or self.mean_of_benchmark, std or self.std_of_benchmark
        super().__init__(division, self.labels[1] + 1, mean, std, verify)
        self.root = data_root(root, f"{self.archive} or {self.folder}/ (from {self.page})")
        if not (self.root / self.folder).is_dir() and not (self.root / self.archive).is_file():
            raise UserError(
                f"{self.title} is not in {self.root}: put the archive {self.archive} (MD5 {self.archive_md5}) or its "
                f"folder {self.folder}/ there; it comes from {self.page}"
            )

    @override
    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Yields those of the folder, or else of the archive, from which nothing is unpacked to the disk."""
        folder, archive = self.root / self.folder, self.root / self.archive
        if folder.is_dir():
            yield from self.read_folder(folder)
            return
        left = [*self.train_files, *self.test_files]
        remedy = f"its MD5 should be {self.archive_md5}; get it again from {self.page}"
        with reading(archive, remedy), tarfile.open(archive, "r:gz") as members:
            for member in members:
                folder_name, _, name = member.name.rpartition("/")
                if folder_name == self.folder and name in left and member.isfile():
                    file = members.extractfile(member)
                    assert file is not None
                    yield name, file.read(_LARGEST)
                    left.remove(name)
        for name in left:
            raise self.missing(f"{archive}: {self.folder}/{name}")


class CIFAR10(Cifar):
    """CIFAR-10: 50,000 and 10,000 images of 10 classes, 3 x 32 x 32.

    NAS-Bench-201 divides the training images in halves for training and validation (`cifar10-valid`). Arguments
    are those of `Cifar`.
    """

    name = "cifar10"
    title = "CIFAR-10"
    archive = "cifar-10-python.tar.gz"
    archive_md5 = "c58f30108f718f92721af3b95e74349a"
    folder = "cifar-10-batches-py"
    train_files: ClassVar = {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    }
    test_files: ClassVar = {"test_batch": "40351d587109b95175f43aff81a1287e"}
    labels = (0, 9)
    mean_of_benchmark = (125.3, 123.0, 113.9)
    std_of_benchmark = (63.0, 62.1, 66.7)


class CIFAR100(Cifar):
    """CIFAR-100: 50,000 and 10,000 images of 100 (fine) classes, 3 x 32 x 32.

    NAS-Bench-201 trains on all training images and divides the test images in halves for validation and testing.
    Arguments are those of `Cifar`.
    """

    name = "cifar100"
    title = "CIFAR-100"
    archive = "cifar-100-python.tar.gz"
    archive_md5 = "eb9058c3a382ffc7106e4002c42a8d85"
    folder = "cifar-100-python"
    train_files: ClassVar = {"train": "16019d7e3df5f24257cddd939b257f8d"}
    test_files: ClassVar = {"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"}
    label_key = "fine_labels"
    labels = (0, 99)
    mean_of_benchmark = (129.3, 124.1, 112.4)
    std_of_benchmark = (68.2, 65.4, 70.4)
