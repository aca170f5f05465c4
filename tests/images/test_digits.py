import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from acenas.images.digits import load_digit_splits


def fingerprints(images: Tensor) -> list[bytes]:
    return [image.numpy().tobytes() for image in images]


def test_the_parts_hold_every_image_once_with_its_label() -> None:
    data, splits = load_digits(), load_digit_splits(3)
    images = torch.cat([part.images for part in splits])
    labels = torch.cat([part.labels for part in splits])
    restored = (images - images.min()) / (images.max() - images.min()) * 16
    pixels = restored.round().int().flatten(1)
    ours = sorted((*row, label) for row, label in zip(pixels.tolist(), labels.tolist(), strict=True))
    theirs = sorted(
        (*row, label) for row, label in zip(data.data.tolist(), data.target.tolist(), strict=True)
    )
    assert ours == theirs


def test_pixels_are_standardised_floats() -> None:
    splits = load_digit_splits()
    images = torch.cat([part.images for part in splits])
    assert images.shape == (1797, 1, 8, 8) and images.dtype == torch.float32
    assert abs(images.mean().item()) < 1e-5 and abs(images.std().item() - 1) < 1e-5
    assert all(part.labels.dtype == torch.long for part in splits)


def test_every_class_is_in_every_part() -> None:
    assert all(part.labels.bincount().min() > 10 for part in load_digit_splits())


def test_the_seed_decides_the_division() -> None:
    first, same, other = load_digit_splits(0), load_digit_splits(0), load_digit_splits(1)
    assert torch.equal(first.test.images, same.test.images)
    assert not torch.equal(first.test.images, other.test.images)


@pytest.mark.parametrize(("valid", "test"), [(0, 10), (10, 0), (900, 897)])
def test_parts_that_leave_nothing_are_refused(valid: int, test: int) -> None:
    with pytest.raises(ValueError, match="leave no training images"):
        load_digit_splits(valid=valid, test=test)
