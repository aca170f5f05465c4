"""Small data sets for the tests of this room."""

import torch

from acenas.images import Images, ImageSource, ImageSplits


def numbered(count: int, first: int = 0, shape: tuple[int, int, int] = (1, 2, 2)) -> Images:
    """`count` images, each of one colour: its number, which is also its label."""
    numbers = torch.arange(first, first + count)
    images = numbers[:, None, None, None].expand(-1, *shape).to(torch.uint8).contiguous()
    return Images(images, numbers)


class Numbered(ImageSource):
    """20 training images 0..19, 10 for validation 20..29, 10 for testing 30..39."""

    name = "numbered"

    def load(self) -> ImageSplits:
        return ImageSplits(numbered(20), numbered(10, 20), numbered(10, 30), 40, mean=(0.0,), std=(1.0,))
