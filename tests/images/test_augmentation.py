"""Whole batches are changed at once; here each image is compared with all that a plain loop can make of it."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from torch import Tensor

from acenas.errors import UserError
from acenas.images import Augmentation, Images, ImageSplits

CHANNELS, HEIGHT, WIDTH = 2, 3, 4
MANY = 4000


def splits_of(channels: int, mean: float = 0.0, std: float = 1.0) -> ImageSplits:
    none = Images(torch.zeros(0, channels, 1, 1, dtype=torch.uint8), torch.zeros(0, dtype=torch.long))
    return ImageSplits(none, none, none, 10, mean=(mean,) * channels, std=(std,) * channels)


def copies() -> Tensor:
    """The same image many times, all of its pixels different and none of them black."""
    image = torch.arange(1, CHANNELS * HEIGHT * WIDTH + 1, dtype=torch.uint8)
    return image.view(1, CHANNELS, HEIGHT, WIDTH).repeat(MANY, 1, 1, 1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def values(images: Tensor) -> set[float]:
    return set(images.flatten().tolist())


def counted(images: Tensor) -> dict[bytes, int]:
    pictures, counts = np.unique(images.numpy().astype(np.float32), axis=0, return_counts=True)
    return {picture.tobytes(): int(count) for picture, count in zip(pictures, counts, strict=True)}


def plain_crop(image: Tensor, padding: int, top: int, left: int) -> np.ndarray:
    cropped = np.zeros(image.shape, dtype=np.float32)
    for channel, row, column in itertools.product(*(range(size) for size in image.shape)):
        source_row, source_column = row + top - padding, column + left - padding
        if 0 <= source_row < image.shape[1] and 0 <= source_column < image.shape[2]:
            cropped[channel, row, column] = image[channel, source_row, source_column]
    return cropped


def plain_cutout(image: Tensor, side: int, centre_row: int, centre_column: int) -> np.ndarray:
    """As in DeVries and Taylor's code: the square is clipped at the border of the image."""
    cut = image.numpy().astype(np.float32)
    for row in range(max(0, centre_row - side // 2), min(HEIGHT, centre_row - side // 2 + side)):
        for column in range(max(0, centre_column - side // 2), min(WIDTH, centre_column - side // 2 + side)):
            cut[:, row, column] = 0
    return cut


def evenly(observed: dict[bytes, int], expected: dict[bytes, float]) -> bool:
    """Whether all that is expected was observed, nothing else, and about as often (five standard deviations)."""
    assert set(observed) == set(expected)
    return all(abs(observed[k] - MANY * p) < 5 * (MANY * p * (1 - p)) ** 0.5 for k, p in expected.items())


@pytest.mark.parametrize("padding", [1, 2])
def test_crops_are_all_those_of_a_plain_loop_and_equally_frequent(padding: int) -> None:
    images = copies()
    places = range(2 * padding + 1)
    expected = {
        plain_crop(images[0], padding, top, left).tobytes(): 1 / len(places) ** 2
        for top, left in itertools.product(places, places)
    }
    assert len(expected) == len(places) ** 2
    assert evenly(counted(Augmentation(padding=padding)(images, splits_of(2), seeded())), expected)


def test_half_of_the_images_are_mirrored_left_to_right() -> None:
    images = copies()
    expected = {
        images[0].numpy().astype(np.float32).tobytes(): 0.5,
        np.ascontiguousarray(images[0].numpy()[:, :, ::-1]).astype(np.float32).tobytes(): 0.5,
    }
    assert evenly(counted(Augmentation(flip=True)(images, splits_of(2), seeded())), expected)


@pytest.mark.parametrize("side", [1, 2, 3])
def test_cutout_squares_are_those_of_a_plain_loop_and_equally_frequent(side: int) -> None:
    images = copies()
    expected: dict[bytes, float] = {}
    for row, column in itertools.product(range(HEIGHT), range(WIDTH)):
        cut = plain_cutout(images[0], side, row, column).tobytes()
        expected[cut] = expected.get(cut, 0.0) + 1 / (HEIGHT * WIDTH)
    assert evenly(counted(Augmentation(cutout=side)(images, splits_of(2), seeded())), expected)


def test_cutout_leaves_the_mean_and_padding_is_black() -> None:
    images = torch.full((500, 1, 4, 4), 30, dtype=torch.uint8)
    splits = splits_of(1, mean=10.0, std=5.0)
    assert values(Augmentation(cutout=2)(images, splits, seeded())) == {0.0, 4.0}
    assert values(Augmentation(padding=1)(images, splits, seeded())) == {-2.0, 4.0}


def test_noise_has_the_deviation_asked_for_and_is_drawn_for_every_pixel() -> None:
    images, splits = copies(), splits_of(2, mean=10.0, std=5.0)
    noise = Augmentation(noise=0.8)(images, splits, seeded()) - splits.normalise(images)
    assert noise.mean().abs() < 0.02 and (noise.std() - 0.8).abs() < 0.02
    flat = noise.flatten(1)
    correlations = torch.corrcoef(flat.T) - torch.eye(flat.shape[1])
    assert correlations.abs().max() < 0.1


augmentations = st.builds(
    Augmentation,
    padding=st.integers(0, 3),
    flip=st.booleans(),
    noise=st.sampled_from([0.0, 0.5]),
    cutout=st.integers(0, 4),
)
sizes = st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 6), st.integers(1, 6))


@settings(deadline=None, max_examples=60)
@given(augmentations, sizes, st.integers(0, 1000))
def test_shape_and_type_are_kept_and_the_generator_decides(
    augmentation: Augmentation, size: tuple[int, int, int, int], seed: int
) -> None:
    images = torch.randint(256, size, generator=seeded(seed), dtype=torch.uint8)
    before, splits = images.clone(), splits_of(size[1], mean=120.0, std=60.0)
    out = augmentation(images, splits, seeded(seed))
    assert out.shape == images.shape and out.dtype == torch.float32
    assert torch.equal(images, before), "the images themselves must not change"
    assert torch.equal(out, augmentation(images, splits, seeded(seed)))


@settings(deadline=None, max_examples=60)
@given(augmentations, sizes, st.integers(0, 1000))
def test_no_image_gets_anything_of_another(
    augmentation: Augmentation, size: tuple[int, int, int, int], seed: int
) -> None:
    images = torch.randint(256, size, generator=seeded(seed), dtype=torch.uint8)
    splits = splits_of(size[1], mean=120.0, std=60.0)
    changed = images.clone()
    changed[0] = 255 - changed[0]
    out, other = (augmentation(batch, splits, seeded(seed)) for batch in (images, changed))
    assert torch.equal(out[1:], other[1:])


def test_without_any_change_images_are_only_normalised() -> None:
    images, splits = copies(), splits_of(2, mean=10.0, std=5.0)
    assert torch.equal(Augmentation()(images, splits, seeded()), (images.float() - 10) / 5)


def test_values_below_zero_are_refused() -> None:
    with pytest.raises(UserError, match="padding must be at least 0"):
        Augmentation(padding=-1)
    with pytest.raises(UserError, match="noise must be at least 0"):
        Augmentation(noise=-0.1)
    with pytest.raises(UserError, match="cutout must be at least 0"):
        Augmentation(cutout=-1)


@pytest.mark.parametrize("change", ["Brightness", "Contrast", "Color"])
def test_colours_change_as_in_pillow(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the three factors is drawn at its end, the others leave the image as it is."""
    images = torch.randint(256, (6, 3, 5, 7), generator=seeded(), dtype=torch.uint8)
    place = ["Brightness", "Contrast", "Color"].index(change)
    draws = torch.full((3, 6, 1, 1, 1), 0.5)
    draws[place, :3], draws[place, 3:] = 0.0, 1.0  # factors of 0.6 and 1.4
    monkeypatch.setattr(torch, "rand", lambda *_, **__: draws)
    found = Augmentation(colour=0.4)(images, splits_of(3), seeded())
    for image, ours, factor in zip(images, found, [0.6] * 3 + [1.4] * 3, strict=True):
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        theirs = np.asarray(getattr(ImageEnhance, change)(picture).enhance(factor)).transpose(2, 0, 1)
        assert np.abs(ours.numpy() - theirs.astype(np.float32)).max() <= 1.5, "Pillow rounds to bytes"


def test_each_image_gets_colours_of_its_own_within_the_limits() -> None:
    images = torch.full((2000, 3, 1, 1), 100, dtype=torch.uint8)
    found = Augmentation(colour=0.4)(images, splits_of(3), seeded())[:, 0, 0, 0]
    assert abs(found.mean() - 100) < 1.5 and 59.9 < found.min() < 61 and 139 < found.max() < 140.1
    with pytest.raises(UserError, match="colour must be at most 1"):
        Augmentation(colour=1.5)
