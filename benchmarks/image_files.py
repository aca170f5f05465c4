"""How many images of ImageNet's size a core reads, decodes and crops a second, and what augmentation adds.

The images are JPEGs of 500 x 375 pixels and about 100 kB, as ImageNet's are, with smooth and noisy content. Times are
of the processor, so that other work on the machine does not change them.

    OMP_NUM_THREADS=1 python benchmarks/image_files.py [--images 256]
"""

import argparse
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from acenas.images import Augmentation, Crops, ImageFiles, ImageSplits


def write_jpegs(folder: Path, count: int) -> int:
    """Returns the mean size of a file in bytes."""
    random = np.random.default_rng(0)
    sizes = []
    for i in range(count):
        smooth = Image.fromarray(random.integers(0, 256, (12, 16, 3)).astype(np.uint8)).resize((500, 375))
        pixels = np.asarray(smooth) + random.normal(0, 18, (375, 500, 3))
        path = folder / f"{i}.jpg"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=90)
        sizes.append(path.stat().st_size)
    return sum(sizes) // count


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=256)
    count = parser.parse_args().images
    with tempfile.TemporaryDirectory() as name:
        size = write_jpegs(Path(name), count)
        names = np.array([f"{i}.jpg".encode() for i in range(count)])
        files = ImageFiles(Path(name), names, torch.zeros(count, dtype=torch.long), Crops(), 0, "fail")
        print(f"{count} JPEGs of {size / 1000:.0f} kB, torch {torch.__version__}, Pillow {version('pillow')}")
        order = list(torch.split(torch.arange(count), 64))
        for title, crops in (("random crop (training)", 0), ("middle (measuring)", None)):
            start = time.process_time()
            batches = list(files.batches(order, crops))
            seconds = time.process_time() - start
            print(
                f"{title:24} {count / seconds:6.0f} images a second and core, {1000 * seconds / count:.2f} ms each"
            )
    splits = ImageSplits(files, files, files, 1, (120.0,) * 3, (60.0,) * 3)
    augmentation, generator = Augmentation(flip=True, colour=0.4), torch.Generator().manual_seed(0)
    start = time.process_time()
    for batch in batches:
        augmentation(batch.images, splits, generator)
    seconds = time.process_time() - start
    print(f"{'flip, colours, normalise':24} {1000 * seconds / count:6.2f} ms each on a processor")


if __name__ == "__main__":
    main()
