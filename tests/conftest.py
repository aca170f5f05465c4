from collections.abc import Iterator

import pytest

from tests.integration.local_slurm import local_slurm, why_not


@pytest.fixture(scope="session")
def slurm() -> Iterator[dict[str, str]]:
    """The environment variables with which commands find a SLURM of two processors on this machine."""
    if reason := why_not():
        pytest.skip(reason)
    with local_slurm() as environment:
        yield environment
