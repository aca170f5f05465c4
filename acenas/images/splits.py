"""Divides the official parts of a data set, or one without parts, into three: training, validation and test."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from acenas.errors import UserError
from acenas.files import reading
from acenas.images.base import ImagePart
from acenas.seeds import torch_generator


class ThreeParts(NamedTuple):
    """Parts without a common image."""

    train: ImagePart
    valid: ImagePart
    test: ImagePart


Of = Literal["train", "test", "whole"]
"""What is divided: the official training or test images in two, or a data set without a split in three."""


class Division(ABC):
    """Makes three parts of a data set.

    Args:
        of: `train`: the official training images are divided for training and validation, and all official test
            images are for testing. `test`: all official training images are for training, and the official test images
            are divided for validation and testing. `whole`: there are no official parts, and all images are divided.

    Raises:
        UserError: for another `of`.
    """

    def __init__(self, of: Of) -> None:
        if of not in ("train", "test", "whole"):
            raise UserError(
                f"division: of must be train or test, or whole without official parts, not {of!r:.200}"
            )
        self.of = of
        self.count = 3 if of == "whole" else 2  # parts that are made

    @abstractmethod
    def indices(self, count: int, names: NDArray[np.bytes_] | None = None) -> Sequence[Tensor]:
        """Returns the indices of each part: `[N]`, long, disjoint, below `count`.

        Args:
            count: number of images.
            names: `[count]`, paths of their files, UTF-8; None where they have none.

        Raises:
            UserError: where the division does not fit `count` images.
        """

    def divide(self, train: ImagePart, test: ImagePart | None) -> ThreeParts:
        """Divides the official parts, or a whole data set without `test`.

        Raises:
            UserError: where the division does not fit the images.
        """
        if (test is None) != (self.of == "whole"):
            needed = "train or test" if test is not None else "whole, with three sizes"
            raise UserError(f"division: of is {self.of}; these images need {needed}")
        whole = test if self.of == "test" and test is not None else train
        parts = list(map(whole.part, self.indices(len(whole.labels), whole.names)))
        if test is not None:
            parts = [*parts, test] if self.of == "train" else [train, *parts]
        return ThreeParts(*parts)

    def checked(self, sizes: Sequence[float | None]) -> tuple[float | None, ...]:
        """Returns the sizes of the parts. Raises `UserError` where they are not as many, or one is not above 0."""
        if len(sizes) != self.count or min(1 if size is None else size for size in sizes) <= 0:
            number = "three" if self.count == 3 else "two"
            raise UserError(
                f"division: sizes must be {number} numbers of at least 1, or shares, not {list(sizes)}"
            )
        return tuple(sizes)


class RandomDivision(Division):
    """Random parts.

    Args:
        of: see `Division`.
        sizes: images of each part, or, below 1, its share of all, rounded down; what is left is not used. None for one
            part: all that are left.
        seed: of the division, which has nothing to do with the seeds of trainings.

    Raises:
        UserError: where a part would be empty.

    >>> first, second = RandomDivision("train", (6, 4)).indices(10)
    >>> sorted(first.tolist() + second.tolist())
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    >>> [len(part) for part in RandomDivision("whole", (0.6, 0.2, 0.2)).indices(11)]
    [6, 2, 2]
    """

    def __init__(self, of: Of, sizes: Sequence[float | None], seed: int = 0) -> None:
        super().__init__(of)
        self.sizes = self.checked(sizes)
        self.seed = seed

    @override
    def indices(self, count: int, names: NDArray[np.bytes_] | None = None) -> Sequence[Tensor]:
        """Returns each in ascending order."""
        order = torch.randperm(count, generator=torch_generator(self.seed, "images", "division"))
        return [part.sort().values for part in _cut(order, self.sizes)]


class OrderedDivision(Division):
    """The first images, those that follow them, and so on, in the order of the files.

    AceNAS trains its super-nets for CIFAR-10 on the first four files and validates them on the fifth: `train`,
    (40000, 10000).

    Args:
        of: see `Division`.
        sizes: see `RandomDivision`.

    Raises:
        UserError: where a part would be empty.

    >>> OrderedDivision("train", (3, 2)).indices(5)
    (tensor([0, 1, 2]), tensor([3, 4]))
    """

    def __init__(self, of: Of, sizes: Sequence[float | None]) -> None:
        super().__init__(of)
        self.sizes = self.checked(sizes)

    @override
    def indices(self, count: int, names: NDArray[np.bytes_] | None = None) -> Sequence[Tensor]:
        return _cut(torch.arange(count), self.sizes)


class FileDivision(Division):
    """The parts of an index file of NAS-Bench-201 and NATS-Bench.

    The official files (JSON), with their keys, sizes and MD5:

    - `cifar-split.txt`: CIFAR-10, of `train`: `train`, `valid`, 25,000 each; 2da7627956f17981dc0b841ab8385f37
    - `cifar100-test-split.txt`: CIFAR-100, of `test`: `xvalid`, `xtest`, 5,000 each; 16f51963f0ccd95cb6c08c33ca4c1665
    - `imagenet-16-120-test-split.txt`: ImageNet16-120, of `test`: `xvalid`, `xtest`, 3,000 each;
      670c7749b090d2e937e20d10e811be22
    - `ImageNet16-120-split.txt`: ImageNet16-120, of `train`: `train`, `valid`, 75,850 each;
      106aae0b5917ef58b972ba74a5e9d164

    Args:
        of: see `Division`.
        path: of the file.
        keys: of the parts in the file.
        sizes: images that the parts must have; None where any will do.
        md5: that the file must have; None where any will do.

    Raises:
        UserError: where the file is missing.
    """

    page = "https://github.com/D-X-Y/AutoDL-Projects (configs/nas-benchmark)"

    def __init__(
        self,
        of: Of,
        path: str | Path,
        keys: Sequence[str],
        sizes: Sequence[int] | None = None,
        md5: str | None = None,
    ) -> None:
        super().__init__(of)
        self.path = Path(path)
        if len(keys) != self.count:
            raise UserError(f"division: keys must be {'three' if of == 'whole' else 'two'}, not {list(keys)}")
        self.keys = tuple(keys)
        self.sizes = None if sizes is None else self.checked(sizes)
        self.md5 = md5
        if not self.path.is_file():
            raise UserError(f"the index file {self.path} is missing; the official ones come from {self.page}")

    @override
    def indices(self, count: int, names: NDArray[np.bytes_] | None = None) -> Sequence[Tensor]:
        """Returns each in the order of the file."""
        content = self.path.read_bytes()
        found = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if self.md5 is not None and found != self.md5:
            raise UserError(f"{self.path} has the MD5 {found}, not {self.md5}; get it again from {self.page}")
        with reading(self.path, f"get it again from {self.page}"):
            parts = json.loads(content)
        found_parts = [self._part(parts, key, count) for key in self.keys]
        for (one, first), (other, second) in combinations(zip(self.keys, found_parts, strict=True), 2):
            if common := set(first.tolist()) & set(second.tolist()):
                raise UserError(
                    f"{self.path}: {len(common)} images are in {one} and in {other}, such as {min(common)}"
                )
        sizes = tuple(map(len, found_parts))
        if self.sizes is not None and sizes != self.sizes:
            raise UserError(f"{self.path}: the parts have {sizes} images, not {self.sizes}")
        return found_parts

    def _part(self, parts: Any, key: str, count: int) -> Tensor:
        if not isinstance(parts, dict):
            raise UserError(f"{self.path} holds a {type(parts).__name__}, not parts by name")
        if key not in parts:
            raise UserError(f"{self.path} has no {key!r:.200}; it holds {list(parts)}")
        try:
            kind, texts = parts[key]
            if kind != "int" or not texts:
                raise ValueError
            numbers = torch.tensor([int(text) for text in texts])
        except (TypeError, ValueError):
            raise UserError(f'{self.path}: {key} must be ["int", ["0", ...]], with whole numbers') from None
        if numbers.min() < 0 or numbers.max() >= count:
            wrong = numbers[(numbers < 0) | (numbers >= count)][0]
            raise UserError(
                f"{self.path}: {key} names image {wrong}, and there are {count}: 0 to {count - 1}; is the file of "
                f"another data set, or `of` wrong?"
            )
        if len(set(numbers.tolist())) < len(numbers):
            raise UserError(f"{self.path}: {key} names an image twice")
        return numbers


class NameDivision(Division):
    """The images that a file names are the second part, all others the first.

    TuNAS publishes `imagenet_valid_split_filenames.txt`: 50,046 training images of ImageNet, to validate on while
    searching.

    Args:
        of: see `Division`.
        path: of a text file, a name on each line; folders in it, and in the names of the images, do not count.
        size: images that the second part must have; None where any number will do.

    Raises:
        UserError: where the file is missing.
    """

    def __init__(self, of: Of, path: str | Path, size: int | None = None) -> None:
        super().__init__(of)
        if of == "whole":
            raise UserError(f"division: {path} divides images in two, so of must be train or test")
        self.path = Path(path)
        self.size = size
        if not self.path.is_file():
            raise UserError(
                f"{self.path} is missing: a text file with the names of the images to put aside, one on each line; or "
                "choose a division by seed"
            )

    @override
    def indices(self, count: int, names: NDArray[np.bytes_] | None = None) -> tuple[Tensor, Tensor]:
        """Returns both in ascending order."""
        if names is None:
            raise UserError(f"{self.path} names images, and these have no names; choose a division by seed")
        wanted = {line.strip().rpartition(b"/")[2] for line in self.path.read_bytes().splitlines()} - {b""}
        second = torch.tensor([name.rpartition(b"/")[2] in wanted for name in names.tolist()])
        found = int(second.sum())
        if not found or found == count or self.size not in (None, found):
            expected = "some, not all" if self.size is None else str(self.size)
            raise UserError(
                f"{self.path} names {len(wanted)} images, of which {found} are among the {count} there are, and it "
                f"should be {expected}; is the list of another data set, or are images missing?"
            )
        numbers = torch.arange(count)
        return numbers[~second], numbers[second]


def _cut(order: Tensor, sizes: Sequence[float | None]) -> Sequence[Tensor]:
    """Cuts parts of these sizes off `order`, and leaves the rest."""
    count = len(order)
    numbers = [0 if size is None else int(size) if size >= 1 else int(size * count + 1e-9) for size in sizes]
    if None in sizes:
        numbers[sizes.index(None)] = max(count - sum(numbers), 1)
    if sum(numbers) > count or not all(numbers):
        raise UserError(
            f"division: sizes {tuple(sizes)} need {max(sum(numbers), len(sizes))} images, and there are {count}; "
            "choose smaller sizes"
        )
    return torch.split(order, [*numbers, count - sum(numbers)])[: len(sizes)]
