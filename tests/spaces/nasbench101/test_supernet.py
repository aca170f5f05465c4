import pytest
import torch
from torch import Tensor, nn

from acenas.spaces import NasBench101
from acenas.spaces.nasbench101.supernet import NasBench101Supernet
from acenas.spaces.sliced import SlicedBatchNorm2d
from acenas.spaces.supernet import PathStatistics

SPACE = NasBench101(channels=6, cells_per_stage=2, stages=2, in_channels=1, distribution="published")
ARCHS = SPACE.sample(12, torch.Generator().manual_seed(0))


def supernet(seed: int = 0) -> NasBench101Supernet:
    torch.manual_seed(seed)
    network = SPACE.build_supernet(num_classes=3).double()
    for parameter in network.parameters():  # gamma and beta that matter
        nn.init.normal_(parameter, std=0.5)
    return network


def images(size: int = 5) -> Tensor:
    return torch.randn(size, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def shared_name(name: str, operations: tuple[str, ...]) -> str:
    """`stage1_cell1.operations.2.0.weight` to `layers.stage1_cell1.operations.2.conv3x3-bn-relu.conv.weight`."""
    parts = ["layers", *name.split(".")]
    for kind in ("operations", "projections"):
        if kind in parts:
            place = parts.index(kind) + 1
            parts[place + 1] = {"0": "conv", "1": "norm"}[parts[place + 1]]
            if kind == "operations":
                parts.insert(place + 1, operations[int(parts[place])])
            elif int(parts[place]) == len(operations) - 1:
                parts[place] = "6"
    return ".".join(parts)


def first(shared: Tensor, like: Tensor) -> Tensor:
    """The first channels of `shared` in every direction."""
    return shared[tuple(slice(size) for size in like.shape)]


def stand_alone(network: NasBench101Supernet, arch: str) -> nn.Module:
    alone, shared = SPACE.build(arch, num_classes=3).double(), network.state_dict()
    operations = SPACE.cell(arch)[1]
    for name, parameter in alone.named_parameters():
        parameter.data.copy_(first(shared[shared_name(name, operations)], parameter))
    return alone


@pytest.mark.parametrize("arch", ARCHS)
def test_a_path_is_the_stand_alone_network_in_logits_and_gradients(arch: str) -> None:
    network, x, labels = supernet(), images(), torch.tensor([0, 1, 2, 0, 1])
    alone = stand_alone(network, arch)
    logits, expected = network(x, arch), alone(x)
    torch.testing.assert_close(logits, expected)
    for output in (logits, expected):
        torch.autograd.backward(nn.functional.cross_entropy(output, labels))
    of_shared, operations = dict(network.named_parameters()), SPACE.cell(arch)[1]
    used = set()
    for name, parameter in alone.named_parameters():
        shared = of_shared[shared_name(name, operations)]
        assert shared.grad is not None and parameter.grad is not None
        torch.testing.assert_close(first(shared.grad, parameter), parameter.grad)
        rest = shared.grad.clone()
        first(rest, parameter).zero_()
        assert not rest.any(), "channels that the path does not take have no gradient"
        used.add(shared)
    active = network.active_parameters(arch)
    assert len(active) == len(set(active)) and set(active) == used
    assert all(p.grad is None for p in network.parameters() if p not in used)


def test_all_ways_to_write_a_cell_are_one_path() -> None:
    network, x = supernet(), images()
    written = "0110000100010000:input,maxpool3x3,conv3x3-bn-relu,output"
    assert SPACE.canonical(written) != written
    torch.testing.assert_close(network(x, written), network(x, SPACE.canonical(written)), rtol=0, atol=0)


def test_the_statistics_of_a_path_are_measured_for_the_channels_that_it_takes() -> None:
    network, x = supernet().eval(), images(8)
    arch = max(ARCHS, key=len)
    alone = stand_alone(network, arch).train()
    for layer in alone.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0  # one batch: its statistics
    with torch.no_grad():
        alone(x)
        with PathStatistics(network) as statistics:
            statistics.measure(arch, [x], [None])
            measured = network(images(3), arch)
        torch.testing.assert_close(measured, alone.eval()(images(3)))


def test_a_sliced_normalisation_is_one_of_fewer_channels() -> None:
    layer, narrow = SlicedBatchNorm2d(5), nn.BatchNorm2d(3)
    nn.init.normal_(layer.weight)
    narrow.weight.data.copy_(layer.weight[:3])
    for mode in (True, True, False):
        layer.train(mode), narrow.train(mode)
        x = torch.randn(4, 3, 2, 2)
        torch.testing.assert_close(layer(x), narrow(x))
    assert layer.running_mean is not None and narrow.running_mean is not None
    torch.testing.assert_close(layer.running_mean[:3], narrow.running_mean)
    assert not layer.running_mean[3:].any()
