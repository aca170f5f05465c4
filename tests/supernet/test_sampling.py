from collections import Counter

import pytest

from acenas.errors import UserError
from acenas.spaces import NasBench201
from acenas.supernet import FairPaths, PathSampler, UniformPaths
from tests.supernet.example import SPACE


@pytest.mark.parametrize("sampler", [UniformPaths(), UniformPaths(paths_per_step=3), FairPaths()])
def test_paths_are_a_function_of_seed_and_step_and_differ_between_ranks(sampler: PathSampler) -> None:
    paths = sampler.paths(SPACE, seed=1, step=7, world_size=3)
    assert paths == sampler.paths(SPACE, seed=1, step=7, world_size=3)
    assert paths[:2] == sampler.paths(SPACE, seed=1, step=7, world_size=2), (
        "ranks do not depend on their number"
    )
    drawn = [paths, sampler.paths(SPACE, 1, 8, 3), sampler.paths(SPACE, 2, 7, 3)]
    assert len({str(of_rank) for step in drawn for of_rank in step}) == 9


def test_shared_paths_are_those_of_the_first_rank() -> None:
    alone = UniformPaths(paths_per_step=2).paths(SPACE, 0, 5, 1)
    assert UniformPaths(paths_per_step=2, shared=True).paths(SPACE, 0, 5, 3) == alone * 3


def test_uniform_paths_are_uniform_over_what_is_connected() -> None:
    sampler = UniformPaths(paths_per_step=50, connected_only=True)
    archs = [arch for step in range(100) for arch in sampler.paths(SPACE, 0, step)[0]]
    assert all(map(SPACE.connected, archs))
    connected = [arch for arch in SPACE.enumerate() if SPACE.connected(arch)]
    for edge in range(6):
        expected = Counter(SPACE.operations(arch)[edge] for arch in connected)
        drawn = Counter(SPACE.operations(arch)[edge] for arch in archs)
        for operation, count in expected.items():
            share = count / len(connected)
            # Within four standard deviations of a binomial.
            assert abs(drawn[operation] / 5000 - share) < 4 * (share * (1 - share) / 5000) ** 0.5


@pytest.mark.parametrize("connected_only", [False, True])
def test_fair_paths_train_each_operation_once(connected_only: bool) -> None:
    sampler = FairPaths(connected_only=connected_only)
    steps = [sampler.paths(SPACE, 0, step)[0] for step in range(200)]
    for archs in steps:
        for edge in range(6):
            assert len({SPACE.operations(arch)[edge] for arch in archs}) == len(archs) == 5
    assert all(SPACE.connected(arch) for archs in steps for arch in archs) == connected_only


@pytest.mark.parametrize("sampler", [UniformPaths(connected_only=True), FairPaths(connected_only=True)])
def test_a_space_without_connected_architectures_ends_in_a_message(sampler: PathSampler) -> None:
    class Broken(NasBench201):
        def connected(self, arch: str) -> bool:
            return False

    with pytest.raises(UserError, match="connected_only=false"):
        sampler.paths(Broken(), 0, 0)


def test_there_is_at_least_one_path() -> None:
    with pytest.raises(UserError, match="paths_per_step must be at least 1"):
        UniformPaths(paths_per_step=0)
