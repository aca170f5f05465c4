import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from acenas.evaluation.zero_cost import grad_norm, naswot, synflow
from acenas.spaces.nasbench201.network import NasBench201Network


@pytest.fixture
def network() -> NasBench201Network:
    torch.manual_seed(0)
    operations = ["nor_conv_3x3", "none", "skip_connect", "avg_pool_3x3", "nor_conv_1x1", "skip_connect"]
    return NasBench201Network(operations, 10, in_channels=1, channels=4, cells_per_stage=1, stages=1)


def test_synflow_of_a_chain_is_depth_times_output() -> None:
    # A chain without biases is homogeneous in each layer, so each layer's sum of weight x gradient is the output.
    torch.manual_seed(1)
    conv = nn.Conv2d(1, 3, 3, bias=False)
    hidden, last = nn.Linear(12, 5, bias=False), nn.Linear(5, 2, bias=False)
    chain = nn.Sequential(conv, nn.BatchNorm2d(3, affine=False), nn.ReLU(), nn.Flatten(), hidden, last)
    x = F.conv2d(torch.ones(1, 1, 4, 4), conv.weight.abs()).flatten(1)
    output = (x @ hidden.weight.abs().T @ last.weight.abs().T).sum().item()
    assert synflow(chain, (1, 4, 4)) == pytest.approx(math.log1p(3 * output), rel=1e-5)


def test_naswot_counts_the_units_on_which_two_images_agree(network: NasBench201Network) -> None:
    images = torch.randn(5, 1, 8, 8)
    codes: list[torch.Tensor] = []
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda _, inputs, __: codes.append((inputs[0] > 0).flatten(1)))
    network(images)
    code = torch.cat(codes, dim=1)
    kernel = [
        [float((a == b).sum()) + 1e-3 * (i == j) for j, b in enumerate(code)] for i, a in enumerate(code)
    ]
    expected = torch.logdet(torch.tensor(kernel, dtype=torch.float64)).item()
    assert naswot(network, images) == pytest.approx(expected)


def test_naswot_of_equal_images_is_finite(network: NasBench201Network) -> None:
    assert math.isfinite(naswot(network, torch.ones(4, 1, 8, 8)))


def test_grad_norm_sums_the_norms_of_the_layers(network: NasBench201Network) -> None:
    images, labels = torch.randn(6, 1, 8, 8), torch.arange(6)
    score = grad_norm(network, images, labels)
    assert all(parameter.grad is None for parameter in network.parameters())
    torch.autograd.backward(F.cross_entropy(network(images), labels))
    norms = [
        module.weight.grad.norm().item()
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.grad is not None
    ]
    assert score == pytest.approx(math.log1p(sum(norms)), rel=1e-4)


def test_the_weights_stay_as_they_were(network: NasBench201Network) -> None:
    before = {name: parameter.clone() for name, parameter in network.named_parameters()}
    images = torch.randn(4, 1, 8, 8)
    synflow(network, (1, 8, 8))
    naswot(network, images)
    grad_norm(network, images, torch.zeros(4, dtype=torch.long))
    assert all(torch.equal(before[name], parameter) for name, parameter in network.named_parameters())
