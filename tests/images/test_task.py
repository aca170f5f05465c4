import pytest
import torch

from acenas.errors import UserError
from acenas.images import Augmentation, Digits, Images, ImageTask
from tests.images.example import Numbered

NOISY = Augmentation(padding=1, noise=0.8)


def together(batches: list[Images]) -> Images:
    return Images(torch.cat([b.images for b in batches]), torch.cat([b.labels for b in batches]))


@pytest.mark.parametrize("batch_size", [1, 7, 400, 5000])
def test_evaluation_images_are_the_same_whatever_the_batch_size(batch_size: int) -> None:
    task = ImageTask(Digits(), evaluation=NOISY, draws=2)
    ours = together(list(task.evaluation_batches("valid", batch_size)))
    reference = together(list(task.evaluation_batches("valid", 64)))
    assert torch.equal(ours.images, reference.images) and torch.equal(ours.labels, reference.labels)


def test_each_draw_shows_every_image_once_and_differently() -> None:
    task = ImageTask(Digits(), evaluation=NOISY, draws=2)
    seen = together(list(task.evaluation_batches("test", 100)))
    assert seen.images.shape == (800, 1, 8, 8) and seen.images.dtype == torch.float32
    assert torch.equal(seen.labels, task.splits.test.labels.repeat(2))
    assert not torch.equal(seen.images[:400], seen.images[400:])


def test_parts_are_measured_as_they_are_unless_asked_otherwise() -> None:
    task = ImageTask(Numbered(), augmentation=NOISY)
    for part, first, count in (("train", 0, 20), ("valid", 20, 10), ("test", 30, 10)):
        seen = together(list(task.evaluation_batches(part, 3)))  # type: ignore[arg-type]
        assert seen.labels.tolist() == list(range(first, first + count))
        assert torch.equal(seen.images[:, 0, 0, 0], seen.labels.float())


def test_training_images_are_augmented_and_the_source_is_read_once() -> None:
    class Counting(Numbered):
        loads = 0

        def load(self):  # type: ignore[no-untyped-def]
            self.loads += 1
            return super().load()

    source = Counting()
    task = ImageTask(source, augmentation=Augmentation(noise=1.0))
    assert source.loads == 0, "nothing is read before it is needed"
    images = task.splits.train.images
    out = task.augmented(images, torch.Generator().manual_seed(0))
    assert not torch.equal(out, images.float()) and source.loads == 1


def test_no_draws_are_refused() -> None:
    with pytest.raises(UserError, match="draws must be at least 1"):
        ImageTask(Numbered(), draws=0)
