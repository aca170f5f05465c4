from dataclasses import replace

from acenas.images import Augmentation, Digits, ImageSource, ImageSplits, ImageTask
from acenas.training.settings import image_settings

HARDER = Augmentation(padding=1, noise=0.8)


class Given(ImageSource):
    """Splits made by the test."""

    name = "given"

    def __init__(self, splits: ImageSplits) -> None:
        self.given = splits

    def load(self) -> ImageSplits:
        return self.given


def test_settings_tell_tasks_apart_and_read_no_test_image() -> None:
    images = ImageTask(Digits(valid=200, test=200), HARDER, HARDER, draws=2)
    mine, splits = image_settings(images), images.splits
    same = replace(images, source=Given(replace(splits, test=splits.valid)))
    assert image_settings(same) == {**mine, "name": "given"}
    for other in (
        replace(images, source=Digits(seed=1, valid=200, test=200)),
        replace(images, draws=3),
        replace(images, evaluation=Augmentation()),
        replace(images, augmentation=Augmentation(flip=True)),
    ):
        assert image_settings(other) != mine
