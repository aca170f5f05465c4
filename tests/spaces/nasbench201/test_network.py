import os
from pathlib import Path

import pytest
import torch
from torch import nn

from acenas.spaces.cost import count_cost
from acenas.spaces.nasbench201.cells import EDGES, OPERATIONS
from acenas.spaces.nasbench201.network import (
    NasBench201Cell,
    NasBench201Network,
    ReductionBlock,
    Zero,
    nasbench201_operation,
)

# Operations by edge, then parameters and multiply-adds in millions as the benchmark's files store them (CIFAR-10).
PUBLISHED = [
    (
        ["avg_pool_3x3", "nor_conv_1x1", "skip_connect", "nor_conv_1x1", "skip_connect", "skip_connect"],
        0.129306,
        15.64737,
    ),
    (
        ["nor_conv_3x3", "nor_conv_3x3", "avg_pool_3x3", "none", "nor_conv_3x3", "avg_pool_3x3"],
        0.802426,
        113.95137,
    ),
    (["skip_connect", "skip_connect", "skip_connect", "none", "nor_conv_1x1", "none"], 0.101306, 11.71521),
]


def formula_params(operations: list[str], classes: int) -> int:
    """The closed form of the benchmark's parameter count."""
    kernels = [{"nor_conv_1x1": 1, "nor_conv_3x3": 3}.get(name, 0) for name in operations]
    weights, norms = sum(k * k for k in kernels), sum(k > 0 for k in kernels)
    cells = sum(5 * (weights * c * c + 2 * norms * c) for c in (16, 32, 64))
    reductions = sum(9 * a * b + 9 * b * b + a * b + 4 * b for a, b in ((16, 32), (32, 64)))
    return 464 + cells + reductions + 128 + 64 * classes + classes


def formula_macs(operations: list[str], classes: int, size: int) -> int:
    """The closed form of the benchmark's multiply-adds for images of `size` x `size`."""
    weights = sum({"nor_conv_1x1": 1, "nor_conv_3x3": 9}.get(name, 0) for name in operations)
    cells = sum(5 * weights * c * c * h * h for c, h in ((16, size), (32, size // 2), (64, size // 4)))
    reductions = sum(
        (9 * a * b + 9 * b * b + a * b) * h * h for a, b, h in ((16, 32, size // 2), (32, 64, size // 4))
    )
    return 432 * size * size + cells + reductions + 64 * classes + classes


@pytest.mark.parametrize(("operations", "params_m", "macs_m"), PUBLISHED)
def test_costs_are_those_that_the_benchmark_published(
    operations: list[str], params_m: float, macs_m: float
) -> None:
    cost = count_cost(NasBench201Network(operations, 10), (3, 32, 32))
    assert cost.params_m == pytest.approx(params_m, abs=1e-9)
    assert cost.macs_m == pytest.approx(macs_m, abs=1e-9)


@pytest.mark.parametrize(("classes", "size"), [(10, 32), (100, 32), (120, 16)])
def test_costs_follow_the_closed_form(classes: int, size: int) -> None:
    generator = torch.Generator().manual_seed(size + classes)
    for _ in range(4):
        choice = torch.randint(len(OPERATIONS), (len(EDGES),), generator=generator)
        operations = [OPERATIONS[i] for i in choice.tolist()]
        cost = count_cost(NasBench201Network(operations, classes), (3, size, size))
        assert cost.params_m * 1e6 == pytest.approx(formula_params(operations, classes))
        assert cost.macs_m * 1e6 == pytest.approx(formula_macs(operations, classes, size))


@pytest.mark.skipif("ACENAS_DATA" not in os.environ, reason="ACENAS_DATA names no folder with nb201.parquet")
def test_costs_are_those_of_the_table() -> None:
    import pandas as pd

    path = Path(os.environ["ACENAS_DATA"]) / "nb201.parquet"
    if not path.exists():
        pytest.skip(f"there is no {path.name} in ACENAS_DATA")
    columns = [f"{dataset}.{cost}" for dataset in ("cifar10", "cifar100") for cost in ("params_m", "flops_m")]
    table = pd.read_parquet(path, columns=["arch", *columns]).sample(25, random_state=0)
    for row in table.to_dict("records"):
        operations = [
            term.split("~")[0] for node in row["arch"].split("+") for term in node.strip("|").split("|")
        ]
        for dataset, classes in (("cifar10", 10), ("cifar100", 100)):
            cost = count_cost(NasBench201Network(operations, classes), (3, 32, 32))
            assert cost.params_m == pytest.approx(row[f"{dataset}.params_m"], rel=1e-6)
            assert cost.flops_m == pytest.approx(row[f"{dataset}.flops_m"], rel=1e-6)


def test_flops_add_up_by_operation() -> None:
    def flops(name: str) -> float:
        return count_cost(NasBench201Network([name] + ["none"] * 5, 10), (3, 32, 32)).flops_m

    assert flops("none") == pytest.approx(7.943872)
    assert flops("skip_connect") == pytest.approx(7.943872)
    assert flops("nor_conv_1x1") - flops("none") == pytest.approx(4.36224)
    assert flops("nor_conv_3x3") - flops("none") == pytest.approx(35.81952)
    assert flops("avg_pool_3x3") - flops("none") == pytest.approx(1.29024)


def test_counting_leaves_the_network_as_it_was() -> None:
    network = NasBench201Network(["nor_conv_3x3"] * 6, 10, cells_per_stage=1)
    head = network.get_submodule("head").eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    count_cost(network, (3, 8, 8))
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert network.training and not head.training
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("seed", range(5))
def test_a_cell_is_the_sum_over_all_edges(seed: int) -> None:
    torch.manual_seed(seed)
    operations = [OPERATIONS[i] for i in torch.randint(5, (6,)).tolist()]
    cell = NasBench201Cell(operations, 4).eval()
    x = torch.randn(2, 4, 6, 6)
    nodes = {0: x}
    for target in (1, 2, 3):
        nodes[target] = torch.zeros_like(x)
        for source, end in EDGES:
            if end == target:
                nodes[target] = nodes[target] + cell.edges[f"{source}{target}"](nodes[source])
    torch.testing.assert_close(cell(x), nodes[3])


def test_operations() -> None:
    x = torch.randn(2, 3, 5, 5)
    assert torch.equal(nasbench201_operation("none", 3)(x), torch.zeros_like(x))
    assert torch.equal(nasbench201_operation("skip_connect", 3)(x), x)
    pooled = nasbench201_operation("avg_pool_3x3", 3)(x)
    torch.testing.assert_close(pooled[..., 0, 0], x[..., :2, :2].mean((-2, -1)))  # the padding is not counted
    conv = nasbench201_operation("nor_conv_3x3", 3)
    assert [type(layer) for layer in conv.children()] == [nn.ReLU, nn.Conv2d, nn.BatchNorm2d]
    assert isinstance(nasbench201_operation("none", 3), Zero)


def test_shapes() -> None:
    network = NasBench201Network(
        ["nor_conv_1x1"] * 6, 7, in_channels=1, channels=8, cells_per_stage=2, stages=2
    )
    assert network(torch.randn(3, 1, 8, 8)).shape == (3, 7)
    assert ReductionBlock(4, 6)(torch.randn(2, 4, 8, 8)).shape == (2, 6, 4, 4)
    assert "23=nor_conv_1x1" in repr(network)


def test_wrong_operations_are_refused() -> None:
    with pytest.raises(ValueError, match="6 operations, not 5"):
        NasBench201Network(["none"] * 5, 10)
    with pytest.raises(ValueError, match="unknown operation 'conv'"):
        NasBench201Network(["conv"] + ["none"] * 5, 10)
