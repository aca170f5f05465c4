import pytest
import torch
from torch import Tensor, nn

from acenas.spaces import MobileNet
from acenas.spaces.cost import count_cost
from acenas.spaces.mobilenet.blocks import Operation
from acenas.spaces.mobilenet.network import (
    InvertedResidual,
    MobileNetNetwork,
    Place,
    Skeleton,
    Stage,
)
from acenas.spaces.mobilenet.supernet import MobileNetSupernet

SPACE = MobileNet(
    Skeleton(
        (Stage(6, 3, 1), Stage(8, 2, 2)),
        in_channels=1,
        stem_channels=4,
        stem_stride=1,
        first_channels=6,
        head_channels=10,
    )
)
ARCHS = SPACE.sample(6, torch.Generator().manual_seed(0))


def test_parameters_and_multiply_adds_of_the_published_mobile_network() -> None:
    """ProxylessNAS (mobile), of this space: 320 million multiply-adds (its authors), 4,080,512 parameters."""
    written = "k5e3 k3e3|k7e3 k3e3 k5e3 k5e3|k7e6 k5e3 k5e3 k5e3|k5e6 k5e3 k5e3 k5e3|k7e6 k7e6 k7e3 k7e3|k7e6"
    stages = [
        [Operation(int(name[1]), int(name[3])) for name in stage.split()] for stage in written.split("|")
    ]
    with torch.device("meta"):
        network = MobileNetNetwork(stages, num_classes=1000)
        cost = count_cost(network, (3, 224, 224))
    assert cost.params_m == 4.080512
    assert round(cost.macs_m) == 320


def test_a_block_adds_its_input_only_where_size_and_width_stay() -> None:
    x = torch.randn(2, 4, 6, 6)
    for place, residual in ((Place(4, 4, 1), True), (Place(4, 4, 2), False), (Place(4, 5, 1), False)):
        block = InvertedResidual(Operation(5, 3), place, nn.BatchNorm2d).eval()
        inside = block.layers(x)
        torch.testing.assert_close(block(x), x + inside if residual else inside)
        assert inside.shape == (2, place.out_channels, 6 // place.stride, 6 // place.stride)


def test_expansion_one_has_no_widening_convolution() -> None:
    convs = [
        m
        for m in InvertedResidual(Operation(3, 1), Place(4, 6, 1), nn.BatchNorm2d).modules()
        if isinstance(m, nn.Conv2d)
    ]
    assert [(c.kernel_size[0], c.groups) for c in convs] == [(3, 4), (1, 1)]


def test_normalisation_is_that_of_the_skeleton() -> None:
    network = MobileNet(Skeleton((Stage(8, 1, 1),), norm_momentum=0.2, norm_eps=0.01)).build("k3e3", 5)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and all(norm.momentum == 0.2 and norm.eps == 0.01 for norm in norms)


# --- the super-net ---


def supernet() -> MobileNetSupernet:
    torch.manual_seed(0)
    network = SPACE.build_supernet(num_classes=3).double()
    for parameter in network.parameters():  # gamma and beta that matter
        nn.init.normal_(parameter, std=0.5)
    return network


def images() -> Tensor:
    return torch.randn(5, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def shared_names(arch: str) -> dict[str, str]:
    """For each layer of the stand-alone network the name of the shared one."""
    names = {name: f"layers.{name}" for name in ("stem", "first", "head")}
    for stage, blocks in enumerate(arch.split(":"), start=1):
        left = [(place, name) for place, name in enumerate(blocks.split(","), start=1) if name != "skip"]
        for number, (place, name) in enumerate(left, start=1):
            names[f"stage{stage}_block{number}"] = f"layers.stage{stage}_block{place}.{name}"
    return names


@pytest.mark.parametrize("arch", [*ARCHS, "k3e3,skip,k7e6:k5e6,skip"])
def test_a_path_is_the_stand_alone_network_in_logits_and_gradients(arch: str) -> None:
    network, x, labels = supernet(), images(), torch.tensor([0, 1, 2, 0, 1])
    alone, names = SPACE.build(arch, num_classes=3).double(), shared_names(arch)
    shared = dict(network.named_parameters())
    of_shared = {}
    for name, parameter in alone.named_parameters():
        layer, _, rest = name.partition(".")
        of_shared[name] = shared[f"{names[layer]}.{rest}"]
        parameter.data.copy_(of_shared[name])
    logits, expected = network(x, arch), alone(x)
    torch.testing.assert_close(logits, expected)
    for output in (logits, expected):
        torch.autograd.backward(nn.functional.cross_entropy(output, labels))
    for name, parameter in alone.named_parameters():
        torch.testing.assert_close(of_shared[name].grad, parameter.grad)
    active = network.active_parameters(arch)
    assert len(active) == len(set(active)) and set(active) == set(of_shared.values())
    assert all(p.grad is None for p in network.parameters() if p not in set(active))


def test_paths_share_the_weights_of_the_blocks_that_they_have_in_common() -> None:
    network = supernet()
    a, b = (
        set(network.active_parameters(arch))
        for arch in ("k3e3,skip,k7e6:k5e6,skip", "k3e3,k3e3,k7e6:k3e6,skip")
    )
    in_common = {*network.layers["stem"].parameters(), *network.layers["first"].parameters()}
    in_common |= {*network.layers["head"].parameters()}
    for name in ("stage1_block1.k3e3", "stage1_block3.k7e6"):
        in_common |= set(network.layers.get_submodule(name).parameters())
    assert a & b == in_common
