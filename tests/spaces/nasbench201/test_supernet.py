from collections import Counter
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from acenas.errors import UserError
from acenas.spaces import NasBench201
from acenas.spaces.base import SearchSpace
from acenas.spaces.nasbench201.cells import EDGES, OPERATIONS
from acenas.spaces.nasbench201.supernet import NasBench201Supernet
from acenas.spaces.supernet import PathStatistics

SMALL = NasBench201(channels=4, cells_per_stage=2, stages=2, in_channels=1)
ONE_CELL = NasBench201(channels=4, cells_per_stage=1, stages=1, in_channels=1)
ARCHS = st.sampled_from(SMALL.enumerate())
DISCONNECTED = "|nor_conv_1x1~0|+|nor_conv_3x3~0|skip_connect~1|+|none~0|none~1|none~2|"
FROM_NOTHING = "|none~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|nor_conv_3x3~2|"


def supernet(space: NasBench201, seed: int = 0) -> NasBench201Supernet:
    torch.manual_seed(seed)
    network = space.build_supernet(num_classes=3).double()
    for parameter in network.parameters():  # gamma and beta that matter
        nn.init.normal_(parameter, std=0.5)
    return network


def images(seed: int = 0, size: int = 5) -> Tensor:
    return torch.randn(size, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def name_in_supernet(name: str, operations: tuple[str, ...]) -> str:
    """`stage1_cell1.edges.01.1.weight` to `layers.stage1_cell1.edges.01.nor_conv_3x3.1.weight`."""
    parts = name.split(".")
    if "edges" in parts:
        edge = parts.index("edges") + 1
        source, target = map(int, parts[edge])
        parts.insert(edge + 1, operations[EDGES.index((source, target))])
    return ".".join(["layers", *parts])


def stand_alone(space: NasBench201, network: NasBench201Supernet, arch: str) -> nn.Module:
    alone = space.build(arch, num_classes=3).double()
    shared = network.state_dict()
    for name, parameter in alone.named_parameters():
        parameter.data.copy_(shared[name_in_supernet(name, space.operations(arch))])
    return alone


@settings(max_examples=25, deadline=None)
@given(ARCHS)
def test_a_path_is_the_stand_alone_network_in_logits_and_gradients(arch: str) -> None:
    network, x, labels = supernet(SMALL), images(), torch.tensor([0, 1, 2, 0, 1])
    alone = stand_alone(SMALL, network, arch)
    logits, expected = network(x, arch), alone(x)
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)
    nn.functional.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
    nn.functional.cross_entropy(expected, labels).backward()  # type: ignore[no-untyped-call]
    gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    operations = SMALL.operations(arch)
    theirs = {
        name_in_supernet(name, operations): p.grad
        for name, p in alone.named_parameters()
        if p.grad is not None
    }
    assert gradients.keys() == theirs.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, theirs[name], rtol=1e-7, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(ARCHS)
def test_active_parameters_are_those_with_a_gradient(arch: str) -> None:
    network = supernet(SMALL)
    network(images(), arch).square().sum().backward()
    with_gradient = {id(p) for p in network.parameters() if p.grad is not None}
    active = network.active_parameters(arch)
    assert len(active) == len({id(p) for p in active})
    assert {id(p) for p in active} == with_gradient


@pytest.mark.parametrize("arch", [DISCONNECTED, FROM_NOTHING])
def test_odd_cells(arch: str) -> None:
    test_active_parameters_are_those_with_a_gradient.hypothesis.inner_test(arch)  # type: ignore[attr-defined]
    test_a_path_is_the_stand_alone_network_in_logits_and_gradients.hypothesis.inner_test(arch)  # type: ignore[attr-defined]


def test_edges_that_lead_nowhere_are_not_computed() -> None:
    network, ran = supernet(SMALL), []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda *_, name=name: ran.append(name))
    network(images(), "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|none~1|none~2|")
    assert ran and not any("edges" in name for name in ran)


def in_order(n: int) -> Iterator[str]:
    archs = ONE_CELL.enumerate()
    picked = torch.randperm(len(archs), generator=torch.Generator().manual_seed(1))[:n].sort().values
    yield from (archs[i] for i in picked.tolist())
    yield from archs[7000:7130]  # neighbours, which share most


@torch.no_grad()
def test_a_memo_changes_nothing_and_saves_convolutions() -> None:
    network, x, ran = supernet(ONE_CELL), images(), 0

    def count(*_: object) -> None:
        nonlocal ran
        ran += 1

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    memo, archs = network.memo(), list(in_order(60))
    assert memo is not None
    shared = [network(x, arch, memo) for arch in archs]
    with_memo, ran = ran, 0
    alone = [network(x, arch) for arch in archs]
    assert with_memo < ran / 2
    torch.testing.assert_close(torch.stack(shared), torch.stack(alone), rtol=1e-12, atol=1e-12)


def test_of_more_than_one_cell_nothing_is_remembered() -> None:
    assert supernet(SMALL).memo() is None


@torch.no_grad()
@pytest.mark.parametrize("space", [SMALL, ONE_CELL])
def test_path_statistics_are_those_of_the_stand_alone_network(space: NasBench201) -> None:
    network, x = supernet(space), images()
    batches = [images(seed, size=7) for seed in (1, 2, 3)]
    archs = list(in_order(6))[:20]
    memos, memo = [network.memo() for _ in batches], network.memo()
    before = network(x, archs[0])
    with PathStatistics(network) as statistics:
        for arch in archs:
            statistics.measure(arch, batches, memos)
            alone = stand_alone(space, network, arch)
            for module in alone.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.momentum = None  # the plain mean over batches
            for batch in batches:
                alone(batch)
            expected = alone.eval()(x)
            torch.testing.assert_close(network(x, arch, memo), expected, rtol=1e-8, atol=1e-8)
            torch.testing.assert_close(network(x[:1], arch), expected[:1], rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(network(x, archs[0]), before)
    assert not any("running" in key for key in network.state_dict())


def test_no_running_averages_in_training_either() -> None:
    network, x = supernet(SMALL), images()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network(x, SMALL.enumerate()[-1])
    assert not list(network.buffers())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@given(st.integers(0, 2**31))
@settings(deadline=None)
def test_fair_samples_take_each_operation_of_each_edge_once(seed: int) -> None:
    archs = SMALL.sample_fair(torch.Generator().manual_seed(seed))
    for edge in range(len(EDGES)):
        assert Counter(SMALL.operations(arch)[edge] for arch in archs) == Counter(OPERATIONS)


def test_connected_cells_are_those_whose_logits_depend_on_the_images() -> None:
    network, (x, y) = supernet(ONE_CELL), (images(0), images(1))
    for arch in [*in_order(60), DISCONNECTED, FROM_NOTHING]:
        with torch.no_grad():
            depends = not torch.allclose(network(x, arch), network(y, arch))
        assert ONE_CELL.connected(arch) == depends
    # Those without any path from input to output, counted from the grammar by brute force over sub-graphs.
    assert sum(map(ONE_CELL.connected, ONE_CELL.enumerate())) == sum(
        4 ** bin(present).count("1") for present in range(64) if reaches(present)
    )


def reaches(present: int) -> bool:
    edges = {edge for i, edge in enumerate(EDGES) if present >> i & 1}
    ways = [[(0, 3)], [(0, 1), (1, 3)], [(0, 2), (2, 3)], [(0, 1), (1, 2), (2, 3)]]
    return any(edges.issuperset(way) for way in ways)


def test_a_space_without_a_supernet_says_so() -> None:
    class Plain(NasBench201):
        build_supernet = SearchSpace.build_supernet  # type: ignore[assignment]
        sample_fair = SearchSpace.sample_fair

    with pytest.raises(UserError, match="has no super-net"):
        Plain().build_supernet(10)
    with pytest.raises(UserError, match="cannot be sampled fairly"):
        Plain().sample_fair(torch.Generator())
