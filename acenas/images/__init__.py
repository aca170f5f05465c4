"""Images to train and measure on, in parts that share none: a search never sees what a report is made from."""

from acenas.images.augmentation import Augmentation
from acenas.images.base import Images, ImageSource, ImageSplits
from acenas.images.data import ImageBatches, ImageData
from acenas.images.digits import Digits
from acenas.images.task import ImageTask

__all__ = [
    "Augmentation",
    "Digits",
    "ImageBatches",
    "ImageData",
    "ImageSource",
    "ImageSplits",
    "ImageTask",
    "Images",
]
