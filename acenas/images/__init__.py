"""Images to train and measure on, in parts that share none: a search never sees what a report is made from."""

from acenas.images.augmentation import Augmentation
from acenas.images.base import ImagePart, Images, ImageSource, ImageSplits
from acenas.images.cifar import CIFAR10, CIFAR100
from acenas.images.data import ImageBatches, ImageData
from acenas.images.digits import Digits
from acenas.images.encoded import EncodedImages
from acenas.images.files import Crops, ImageFiles, ImageFolder
from acenas.images.imagenet16 import ImageNet16
from acenas.images.own import OwnImages
from acenas.images.splits import Division, FileDivision, NameDivision, OrderedDivision, RandomDivision
from acenas.images.task import ImageTask

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "Augmentation",
    "Crops",
    "Digits",
    "Division",
    "EncodedImages",
    "FileDivision",
    "ImageBatches",
    "ImageData",
    "ImageFiles",
    "ImageFolder",
    "ImageNet16",
    "ImagePart",
    "ImageSource",
    "ImageSplits",
    "ImageTask",
    "Images",
    "NameDivision",
    "OrderedDivision",
    "OwnImages",
    "RandomDivision",
]
