"""Named random generators: one seed drives a run, and no part of it shares a stream with another."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the stream called `names`, independent of every other name's.

    >>> derive_seed(0, "search", 1) == derive_seed(0, "search", 1)
    True
    >>> derive_seed(0, "search", 1) == derive_seed(0, "search", 2)
    False
    """
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def torch_generator(seed: int, *names: str | int) -> torch.Generator:
    """A torch generator (CPU) for the stream called `names`."""
    return torch.Generator().manual_seed(derive_seed(seed, *names))


def numpy_generator(seed: int, *names: str | int) -> np.random.Generator:
    """A NumPy generator for the stream called `names`."""
    return np.random.default_rng(derive_seed(seed, *names))


@contextmanager
def seeded(seed: int, *names: str | int) -> Iterator[None]:
    """Seeds torch's global state in the block, for weights and dropout, which take no generator; restores it after."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, *names))
        yield
