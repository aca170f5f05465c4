import pytest
import torch
import torch.nn.functional as F

from acenas.spaces.nasbench201.network import NasBench201Network
from acenas.training.side_by_side import side_by_side

OPERATIONS = ["nor_conv_3x3", "avg_pool_3x3", "nor_conv_1x1", "none", "nor_conv_3x3", "skip_connect"]


def networks(count: int) -> list[NasBench201Network]:
    torch.manual_seed(count)
    return [
        NasBench201Network(OPERATIONS, 5, in_channels=2, channels=4, cells_per_stage=1, stages=2).double()
        for _ in range(count)
    ]


@pytest.mark.parametrize("count", [1, 3])
def test_outputs_gradients_and_statistics_are_those_of_each_network_alone(count: int) -> None:
    alone = networks(count)
    together = side_by_side(alone)
    images = [torch.randn(6, 2, 8, 8, dtype=torch.float64) for _ in alone]
    labels = torch.randint(5, (6, count))
    logits = together(torch.cat(images, dim=1))
    torch.autograd.backward(count * F.cross_entropy(logits.flatten(0, 1), labels.flatten()))
    for s, network in enumerate(alone):
        own = network(images[s])
        torch.testing.assert_close(logits[:, s], own)
        torch.autograd.backward(F.cross_entropy(own, labels[:, s]))
    for name, parameter in together.named_parameters():
        expected = torch.cat([network.get_parameter(name).grad.flatten() for network in alone])  # type: ignore[union-attr]
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad.flatten(), expected)
    together.eval()
    merged = together(torch.cat(images, dim=1))
    for s, network in enumerate(alone):
        torch.testing.assert_close(merged[:, s], network.eval()(images[s]))  # running statistics too


def test_the_weights_are_copies() -> None:
    alone = networks(2)
    before = alone[0].get_parameter("head.4.weight").clone()
    together = side_by_side(alone)
    with torch.no_grad():
        for parameter in together.parameters():
            parameter.zero_()
    assert torch.equal(alone[0].get_parameter("head.4.weight"), before)
    assert "count=2, in_features=8, out_features=5" in repr(together)
