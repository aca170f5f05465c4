"""Images that stay on the disk: read, decoded and cropped by worker processes as they are needed, like ImageNet's."""

from __future__ import annotations

import codecs
import logging
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from typing_extensions import override

from acenas.errors import UserError
from acenas.executors.parent import end_with_parent
from acenas.images.base import Images, ImageSource, ImageSplits, channel_values
from acenas.images.decoding import DAMAGE, THREADS, converted, mode_of, open_image, pixels, reason
from acenas.images.official import data_root
from acenas.images.splits import Division
from acenas.seeds import numpy_generator

log = logging.getLogger(__name__)

SUFFIXES = (".jpeg", ".jpg", ".png", ".webp")
"""Files of a class folder that are images, in either case of letters."""

NO_CLASS = (".", "__MACOSX", "lost+found", "@eaDir", "$RECYCLE.BIN")
"""How the folders begin that systems and tools leave beside those of the classes."""

LOOKED_AT = 200
"""Images of a part that are read before anything is trained."""

DAMAGED = 0.05
"""The share of a part's images up to which damaged ones may be left out; one of them always may."""

Box = tuple[float, float, float, float]
"""Left, upper, right and lower edge, in pixels."""

Interpolation = Literal["bilinear", "bicubic", "lanczos"]


@dataclass(frozen=True)
class Crops:
    """Crops an image and resizes the crop, in one step.

    For training, a crop of random area and shape (Szegedy et al., arXiv 1409.4842, section 6); for measuring, the
    centre square.

    Attributes:
        size: height and width of the result, in pixels.
        scale: smallest and largest part of the image's area, for training.
        ratio: smallest and largest ratio of width to height, for training.
        interpolations: one of them is drawn for each image, for training.
        centre: side of the centre square as a part of the image's shorter side: 0.875 is a crop of 224 out of 256.
        interpolation: for measuring.

    Raises:
        UserError: where a value makes no sense.
    """

    size: int = 224
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolations: tuple[Interpolation, ...] = ("bilinear", "bicubic")
    centre: float = 0.875
    interpolation: Interpolation = "bicubic"

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UserError(f"images: size must be at least 1, not {self.size}")
        for name in ("scale", "ratio", "interpolations"):
            values = tuple(getattr(self, name))
            object.__setattr__(self, name, values)  # a config has lists
            if name != "interpolations" and (len(values) != 2 or not 0 < values[0] <= values[1]):
                raise UserError(
                    f"images: {name} must be two numbers above 0, the smaller first, not {list(values)}"
                )
        if self.scale[1] > 1 or not 0 < self.centre <= 1:
            raise UserError(
                f"images: scale={list(self.scale)} and centre={self.centre} are parts of an image, at most 1"
            )
        known = Interpolation.__args__  # type: ignore[attr-defined]
        for name in (*self.interpolations, self.interpolation):
            if name not in known:
                raise UserError(f"images: there is no interpolation {name!r}; choose from {', '.join(known)}")
        if not self.interpolations:
            raise UserError("images: interpolations must name at least one")

    def middle(self, width: int, height: int) -> Box:
        """Returns the centre square, for measuring."""
        side = self.centre * min(width, height)
        left, upper = (width - side) / 2, (height - side) / 2
        return left, upper, left + side, upper + side

    def random(self, width: int, height: int, generator: np.random.Generator) -> Box:
        """Draws a crop for training: the first of ten that fits, or else the largest centred one of allowed shape."""
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        for _ in range(10):
            area = width * height * generator.uniform(*self.scale)
            aspect = math.exp(generator.uniform(low, high))
            w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < w <= width and 0 < h <= height:
                x, y = int(generator.integers(width - w + 1)), int(generator.integers(height - h + 1))
                return x, y, x + w, y + h
        aspect = min(max(width / height, self.ratio[0]), self.ratio[1])
        w, h = min(width, round(height * aspect)), min(height, round(width / aspect))
        left, upper = (width - w) / 2, (height - h) / 2
        return left, upper, left + w, upper + h

    def read(self, path: Path, generator: np.random.Generator | None, mode: str = "RGB") -> NDArray[np.uint8]:
        """Reads an image as `[C, size, size]`, converted to a `mode` of Pillow's. Raises `DAMAGE`.

        The crop is drawn by `generator`, or is the centre square where that is None.
        """
        with open_image(str(path)) as opened:
            image = converted(opened, mode)
        if generator is None:
            box, name = self.middle(*image.size), self.interpolation
        else:
            box = self.random(*image.size, generator)
            name = self.interpolations[generator.integers(len(self.interpolations))]
        return pixels(image.resize((self.size, self.size), Image.Resampling[name.upper()], box=box))


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Images in files, each batch read by one of several worker processes; an `ImagePart`.

    While training, another image of the batch, drawn by the same seed, replaces a damaged one, so that every process
    makes steps of equal size. Where accuracy is measured, damaged images are left out.

    Attributes:
        folder: of all files.
        names: `[N]`, their paths below `folder` as the system has them (`os.fsencode`); an array, of which worker
            processes make no copies.
        labels: `[N]`, long.
        crops: what is cut out of an image.
        workers: processes that read, for each process that trains; 0 to read in that process itself.
        on_damage: `skip` a file that cannot be read and say so, or `fail`.
        mode: of Pillow, that the images are converted to.
        damaged: the files that were found damaged so far, and why.
    """

    folder: Path
    names: NDArray[np.bytes_]
    labels: Tensor
    crops: Crops
    workers: int
    on_damage: Literal["skip", "fail"]
    mode: str = "RGB"
    damaged: dict[str, str] = field(default_factory=dict)

    @property
    def images(self) -> Tensor:
        """Raises `UserError`: the images are not in memory."""
        raise UserError(
            f"the images of {self.folder} are read from the disk as they are needed, and this needs all of them in "
            "memory (as noise on evaluated images, or zero-cost scores do); choose images that are small enough"
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image of a batch."""
        return len(Image.new(self.mode, (1, 1)).getbands()), self.crops.size, self.crops.size

    def part(self, indices: Tensor) -> ImageFiles:
        """Selects the files of `indices`, `[M]` long."""
        return replace(self, names=self.names[indices.numpy()], labels=self.labels[indices], damaged={})

    def joined(self, other: ImageFiles) -> ImageFiles:
        """Appends the files of `other`. Raises `UserError` where they are not of the same folder."""
        if self.folder != other.folder:
            raise UserError(f"images: {self.folder} and {other.folder} are two folders, and cannot be joined")
        names = np.concatenate([self.names, other.names])
        return replace(self, names=names, labels=torch.cat([self.labels, other.labels]), damaged={})

    def to(self, device: torch.device) -> ImageFiles:
        """Returns this object: the images stay on the disk, and their batches are on the CPU."""
        return self

    def batches(self, indices: Iterable[Tensor], crops: int | None = None) -> Iterator[Images]:
        """Yields a batch for each of `indices`; the crop of an image depends on the seed `crops` and the image alone.

        Raises:
            UserError: for a damaged file, with `on_damage="fail"`; for more than `DAMAGED` of all in any case.
        """
        context = "fork" if sys.platform == "linux" else "spawn"  # joblib's processes have another default
        loader = DataLoader(
            _Reader(self, crops),
            batch_size=None,
            sampler=[batch.cpu() for batch in indices],
            num_workers=self.workers,
            multiprocessing_context=context if self.workers else None,
            worker_init_fn=partial(end_with_parent, os.getpid()),
            pin_memory=torch.cuda.is_available(),
        )
        for images, labels, damaged in loader:
            self._report(damaged)
            if len(labels):
                yield Images(images, labels)

    def content(self) -> Iterator[bytes]:
        """Yields names, labels and how the files are read; not what is in them."""
        yield from (self.names.tobytes(), self.labels.numpy().tobytes(), repr(self.crops).encode())

    def check(self) -> None:
        """Reads some of the images, all over the part, before anything is trained on them or measured.

        Raises:
            UserError: where none can be read, too many cannot, or one cannot and `on_damage` is `fail`.
        """
        count = len(self.labels)
        looked_at = torch.linspace(0, count - 1, min(count, LOOKED_AT)).long().tolist()
        with ThreadPoolExecutor(THREADS) as pool:
            read = pool.map(partial(self.read, generator=None), looked_at)
            damaged = [one for one in read if isinstance(one, Damaged)]
        self._report(damaged, len(looked_at), log_each=False)

    def read(self, index: int, generator: np.random.Generator | None) -> NDArray[np.uint8] | Damaged:
        """Reads an image as `[C, size, size]`, or says why it cannot be read; see `Crops.read`."""
        name = os.fsdecode(self.names[index])
        try:
            return self.crops.read(self.folder / name, generator, self.mode)
        except DAMAGE as error:
            return Damaged(shown(name), reason(error))

    def _report(self, damaged: Sequence[Damaged], among: int | None = None, log_each: bool = True) -> None:
        """Tells of damaged images; `among` so many that were looked at, by default all that were found among all."""
        for name, why in damaged:
            if self.on_damage == "fail":
                raise UserError(
                    f"{self.folder / name}: the image is damaged ({why}); get it again, or say on_damage=skip to leave "
                    "such images out"
                )
            if log_each and name not in self.damaged:
                self.damaged[name] = why
                log.warning("Damaged image left out: %s (%s)", self.folder / name, why)
        found, among = (len(self.damaged), len(self.labels)) if among is None else (len(damaged), among)
        if damaged and (found == among or found > max(1, DAMAGED * among)):
            name, why = damaged[0]
            raise UserError(
                f"{found} of {among} images that were looked at cannot be read, such as {self.folder / name} ({why}): "
                "too many to be left out; get them again, or correct their paths"
            )


class Damaged(NamedTuple):
    """A file that cannot be read: its name below the folder, for people, and why."""

    name: str
    why: str


class _Batch(NamedTuple):
    images: Tensor
    labels: Tensor
    damaged: list[Damaged]


class _Reader(Dataset[_Batch]):
    """Reads the batch of given indices in a worker process; returns the damaged files rather than raising."""

    def __init__(self, files: ImageFiles, crops: int | None) -> None:
        self.files = files
        self.crops = crops

    def __getitem__(self, indices: Tensor) -> _Batch:
        files = self.files
        images: list[NDArray[np.uint8]] = []
        whole: list[int] = []
        damaged: list[Damaged] = []
        for i in indices.tolist():
            image = files.read(i, None if self.crops is None else numpy_generator(self.crops, i))
            if isinstance(image, Damaged):
                damaged.append(image)
            else:
                images.append(image)
                whole.append(i)
        if self.crops is not None and whole:
            generator = numpy_generator(self.crops, "stand-in", whole[0])
            for stand_in in generator.integers(len(whole), size=len(damaged)):
                images.append(images[stand_in])
                whole.append(whole[stand_in])
        stacked = np.stack(images) if images else np.empty((0, *files.shape), np.uint8)
        return _Batch(torch.from_numpy(stacked), files.labels[torch.tensor(whole, dtype=torch.long)], damaged)


class ImageFolder(ImageSource):
    """Image files in one part or two, each a folder with a folder for each class, or an index file.

    Classes are numbered in the order of their folders' names. What lies there and is no image is left out and named;
    folders that systems and tools leave (`NO_CLASS`) are no classes. An index file has a line for each image: its path
    below the folder of the index file, and its label, a whole number from 0. Images may have any size; they are
    converted to as many channels as `mean` has values: 1 (grey), 3 or 4.

    Args:
        root: folder of both parts.
        train: folder or index file of the training images, below `root`; `.` for `root` itself.
        test: folder or index file of the test images, below `root`; None where there is no split.
        division: makes three parts of the two, or of the whole.
        mean: of each channel, in the unit of the bytes.
        std: standard deviation of each channel, in the unit of the bytes.
        name: of the data set in tables, provenance and folders.
        crops: what is cut out of an image.
        workers: processes that read, for each process that trains; 0 to read in that process itself.
        on_damage: `skip` a file that cannot be read and say so, or `fail`.

    Raises:
        UserError: where a part is missing, or an argument makes no sense.
    """

    def __init__(
        self,
        root: str | Path | None,
        train: str,
        test: str | None,
        division: Division,
        mean: Sequence[float],
        std: Sequence[float],
        name: str,
        crops: Crops = Crops(),
        workers: int = 8,
        on_damage: Literal["skip", "fail"] = "skip",
    ) -> None:
        named = [train] if test is None else [train, test]
        self.root = data_root(root, " and ".join(named))
        self.name = name
        self.train = train
        self.test = test
        self.division = division
        self.mode = mode_of(mean)
        self.mean = channel_values(mean, len(mean))
        self.std = channel_values(std, len(mean))
        self.crops = crops
        self.workers = workers
        self.on_damage = on_damage
        if workers < 0:
            raise UserError(f"images: workers must be at least 0, not {workers}")
        if on_damage not in ("skip", "fail"):
            raise UserError(f"images: on_damage is skip or fail, not {on_damage!r}")
        for part in named:
            if not (self.root / part).exists():
                raise UserError(
                    f"{self.root / part} is missing: a folder with a folder of images for each class, or a text file "
                    "with a path and a label on each line; set data_dir to the folder that holds it"
                )

    @override
    def load(self) -> ImageSplits:
        """Lists the files, and opens some of each part, to notice what is wrong with all of them."""
        train, classes = self._listed(self.train)
        test, test_classes = (None, classes) if self.test is None else self._listed(self.test)
        num_classes = len(classes) or int(train.labels.max()) + 1
        if classes and test_classes and classes != test_classes:
            wrong = sorted(set(classes) ^ set(test_classes))[0]
            raise UserError(
                f"{self.train} and {self.test} in {self.root} must have the same class folders; {wrong} is in one of "
                "them only"
            )
        if test is not None and test.labels.max() >= num_classes:
            raise UserError(
                f"{self.test} in {self.root} has the label {test.labels.max()}, and {self.train} has {num_classes} "
                f"classes: labels from 0 to {num_classes - 1}"
            )
        lacking = set(range(min(num_classes, len(train.labels) + 1))) - set(train.labels.tolist())
        if lacking:
            raise UserError(
                f"{self.train} in {self.root} has no image with the label {min(lacking)}, and some with "
                f"{num_classes - 1}; number the classes from 0 without gaps"
            )
        parts = self.division.divide(train, test)
        for part in parts:
            cast(ImageFiles, part).check()
        return ImageSplits(
            *parts,
            num_classes,
            self.mean,
            self.std,
            classes or test_classes,
            f"the square in the middle, {self.crops.centre:g} of the shorter side, is brought to {self.crops.size} x "
            f"{self.crops.size} pixels ({self.crops.interpolation} of Pillow)",
        )

    def _listed(self, part: str) -> tuple[ImageFiles, tuple[str, ...]]:
        """Returns the files of a part, and the names of the classes (none for an index file)."""
        path = self.root / part
        found, classes = _class_folders(path, part) if path.is_dir() else (_index(path, part), ())
        if not found:
            raise UserError(
                f"{path} has no images: it needs a folder for each class, with files that end in "
                f"{', '.join(SUFFIXES)}, or, as a text file, a path and a label on each line"
            )
        names, labels = zip(*found, strict=True)
        files = ImageFiles(
            self.root,
            np.array([os.fsencode(name) for name in names]),
            torch.tensor(labels),
            self.crops,
            self.workers,
            self.on_damage,
            self.mode,
        )
        return files, classes


def shown(name: str) -> str:
    """The name of a file or folder as text that can be written anywhere, also where it is not UTF-8."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _class_folders(path: Path, part: str) -> tuple[list[tuple[str, int]], tuple[str, ...]]:
    """Returns the names and labels of the images in the folders of `path`, and the names of the classes.

    Raises:
        UserError: for a class without images.
    """
    found: list[tuple[str, int]] = []
    classes: list[str] = []
    left_out: list[str] = []
    for folder in sorted(os.scandir(path), key=lambda entry: entry.name):
        if not folder.is_dir() or folder.name.startswith(NO_CLASS):
            left_out.append(folder.name)
            continue
        names = sorted(entry.name for entry in os.scandir(folder))
        images = [name for name in names if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
        others = [f"{folder.name}/{name}" for name in names if name not in set(images)]
        if not images:
            some = f" ({len(others)} files are not read, such as {shown(others[0])})" if others else ""
            raise UserError(
                f"{path / shown(folder.name)} is a class without images{some}: give it files that end in "
                f"{', '.join(SUFFIXES)}, or remove the folder"
            )
        found += [(f"{part}/{folder.name}/{name}", len(classes)) for name in images]
        left_out += others
        classes.append(shown(folder.name))
    if left_out:
        some = ", ".join(map(shown, left_out[:5])) + (", ..." if len(left_out) > 5 else "")
        log.warning("%s: %d files and folders are not read: %s", path, len(left_out), some)
    return found, tuple(classes)


def _index(path: Path, part: str) -> list[tuple[str, int]]:
    """Returns the names below the root, and the labels, of the index file at `path`, which is `part` below the root."""
    found = []
    text = os.fsdecode(path.read_bytes().removeprefix(codecs.BOM_UTF8))
    for number, line in enumerate(text.split("\n"), start=1):
        name, _, label = line.strip().rpartition(" ")
        if not line.strip():
            continue
        if not name or not (label.isascii() and label.isdecimal() and len(label) < 10):
            raise UserError(
                f"{path}, line {number}: {line.strip()[:100]!r} is not a path and, after a space, a label from 0"
            )
        found.append((os.path.normpath(Path(part).parent / name.strip()), int(label)))
    return found
