import pytest
import torch
from sklearn.datasets import load_digits

from acenas.errors import UserError
from acenas.images import Digits, ImageSplits


def joined(splits: ImageSplits) -> tuple[torch.Tensor, torch.Tensor]:
    parts = (splits.train, splits.valid, splits.test)
    return torch.cat([p.images for p in parts]), torch.cat([p.labels for p in parts])


def test_the_parts_hold_every_image_once_with_its_label() -> None:
    data = load_digits()
    images, labels = joined(Digits(seed=3).load())
    ours = sorted(
        (*row, label) for row, label in zip(images.flatten(1).tolist(), labels.tolist(), strict=True)
    )
    theirs = sorted(
        (*row, label) for row, label in zip(data.data.tolist(), data.target.tolist(), strict=True)
    )
    assert ours == theirs


def test_pixels_are_bytes_that_normalise_to_standard_floats() -> None:
    splits = Digits().load()
    images, labels = joined(splits)
    assert images.shape == (1797, 1, 8, 8) and images.dtype == torch.uint8 and labels.dtype == torch.long
    assert splits.image_shape == (1, 8, 8) and splits.num_classes == 10
    normalised = splits.normalise(images)
    assert normalised.dtype == torch.float32
    assert abs(normalised.mean().item()) < 1e-5 and abs(normalised.std().item() - 1) < 1e-5


def test_every_class_is_in_every_part() -> None:
    splits = Digits().load()
    assert all(p.labels.bincount(minlength=10).min() > 10 for p in (splits.train, splits.valid, splits.test))


def test_the_seed_decides_the_division() -> None:
    first, same, other = (Digits(seed).load() for seed in (0, 0, 1))
    assert torch.equal(first.test.images, same.test.images)
    assert not torch.equal(first.test.images, other.test.images)


@pytest.mark.parametrize(("valid", "test"), [(0, 10), (10, 0), (900, 897)])
def test_parts_that_leave_nothing_are_refused(valid: int, test: int) -> None:
    with pytest.raises(UserError, match="leave no training images"):
        Digits(valid=valid, test=test)
