import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acenas.spaces.cost import count_cost
from acenas.spaces.nds.cells import FAMILIES, Architecture, CellGraph
from acenas.spaces.nds.network import (
    NDSCell,
    NDSNetwork,
    Projection,
    cell_places,
    nds_cost,
    nds_operation,
)

# The cell that DARTS found on CIFAR-10 with its second-order approximation (arXiv 1806.09055, figures 4 and 5).
DARTS_CELLS = (
    CellGraph(
        (
            (("sep_conv_3x3", 0), ("sep_conv_3x3", 1)),
            (("sep_conv_3x3", 0), ("sep_conv_3x3", 1)),
            (("sep_conv_3x3", 1), ("skip_connect", 0)),
            (("skip_connect", 0), ("dil_conv_3x3", 2)),
        ),
        (2, 3, 4, 5),
    ),
    CellGraph(
        (
            (("max_pool_3x3", 0), ("max_pool_3x3", 1)),
            (("skip_connect", 2), ("max_pool_3x3", 1)),
            (("max_pool_3x3", 0), ("skip_connect", 2)),
            (("skip_connect", 2), ("max_pool_3x3", 1)),
        ),
        (2, 3, 4, 5),
    ),
)


@pytest.mark.parametrize(
    ("width", "depth", "num_classes", "stem", "side", "published", "exact"),
    [(36, 20, 10, "cifar", 32, 3.3, 3.349342), (48, 14, 1000, "imagenet", 224, 4.7, 4.718752)],
)
def test_the_network_of_darts_has_its_published_parameters(
    width: int, depth: int, num_classes: int, stem: str, side: int, published: float, exact: float
) -> None:
    """Without the auxiliary head, as the paper's tables 1 and 2 count; the sum over parts is that over the whole."""
    arch = Architecture(*DARTS_CELLS, width, depth)
    with torch.device("meta"):
        network = NDSNetwork(arch, num_classes, stem=stem)  # type: ignore[arg-type]
        cost = count_cost(network, (3, side, side))
        parts = nds_cost(arch, num_classes, image_shape=(3, side, side), stem=stem)  # type: ignore[arg-type]
    assert cost == parts
    assert cost.params_m == exact and round(exact, 1) == published


def normalised(x: Tensor) -> Tensor:
    """Batch normalisation with fresh weights and the statistics of the batch."""
    return (x - x.mean((0, 2, 3), keepdim=True)) / (
        x.var((0, 2, 3), keepdim=True, correction=0) + 1e-5
    ).sqrt()


def by_hand(name: str, module: nn.Module, x: Tensor, stride: int) -> Tensor:
    """The operation as the papers describe it, from the weights of `module`."""
    weights = [p for p in module.parameters() if p.dim() == 4]
    c = x.shape[1]

    def separable(value: Tensor, depthwise: Tensor, pointwise: Tensor, step: int, dilation: int) -> Tensor:
        reach = depthwise.shape[-1] // 2 * dilation
        per_channel = [
            F.conv2d(value.relu()[:, i : i + 1], depthwise[i : i + 1], None, step, reach, dilation)
            for i in range(c)
        ]
        return normalised(F.conv2d(torch.cat(per_channel, 1), pointwise))

    size = int(name[-1]) if name[-1].isdigit() else 0
    if name == "skip_connect":
        if stride == 1:
            return x
        relu = F.pad(x.relu(), (0, 1, 0, 1))
        grids = [
            relu[:, :, i::2, i::2][:, :, : (x.shape[2] + 1) // 2, : (x.shape[3] + 1) // 2] for i in (0, 1)
        ]
        return normalised(torch.cat([F.conv2d(grids[i], weights[i]) for i in (0, 1)], 1))
    if name.startswith("max_pool"):
        return F.max_pool2d(x, size, stride, size // 2)
    if name.startswith("avg_pool"):
        counted = F.avg_pool2d(torch.ones_like(x), size, stride, size // 2)
        return F.avg_pool2d(x, size, stride, size // 2) / counted
    if name.startswith(("sep_conv", "dil_sep_conv")):
        dilation = 2 if name.startswith("dil") else 1
        half = separable(x, weights[0], weights[1], stride, dilation)
        return separable(half, weights[2], weights[3], 1, dilation)
    if name.startswith("dil_conv"):
        return separable(x, weights[0], weights[1], stride, 2)
    if name in ("conv_1x1", "conv_3x3"):
        return normalised(F.conv2d(x.relu(), weights[0], None, stride, size // 2))
    assert [tuple(weight.shape[2:]) for weight in weights] == [(1, size), (size, 1)]
    row = F.conv2d(x.relu(), weights[0], None, (1, stride), (0, size // 2))
    return normalised(F.conv2d(row, weights[1], None, (stride, 1), (size // 2, 0)))


ALL_OPERATIONS = sorted({name for family in FAMILIES.values() for name in family.operations} - {"none"})


@pytest.mark.parametrize("name", ALL_OPERATIONS)
def test_operations_are_those_of_the_papers(name: str) -> None:
    torch.manual_seed(0)
    for stride in (1, 2):
        for side in (8, 7):
            module, x = nds_operation(name, 4, stride), torch.randn(3, 4, side, side)
            found = module(x)
            assert found.shape == (3, 4, -(-side // stride), -(-side // stride))
            torch.testing.assert_close(found, by_hand(name, module, x, stride), rtol=1e-4, atol=1e-4)


def test_unknown_operations_and_stems_are_errors() -> None:
    for name in ("conv_5x1_1x5", "none", "sep_conv"):
        with pytest.raises(ValueError, match="unknown operation"):
            nds_operation(name, 4, 1)
    with pytest.raises(ValueError, match="unknown stem"):
        NDSNetwork(Architecture(*DARTS_CELLS, 4, 3), 10, stem="mnist")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 3 cells"):
        cell_places(4, 2, "cifar")


def test_a_reduction_cell_computes_sums_and_joins_its_outputs() -> None:
    """By hand, with a node of nothing: states 0 and 1 are read with stride 2, others with stride 1."""
    torch.manual_seed(0)
    graph = CellGraph(
        (
            (("max_pool_3x3", 0), ("sep_conv_3x3", 1)),
            (("none", 0), ("none", 2)),
            (("avg_pool_3x3", 2), ("none", 1)),
        ),
        (3, 4),
    )
    place = cell_places(4, 6, "cifar")[2]
    assert place.reduction and place.channels == 8
    cell = NDSCell(graph, place, before=5, last=6)
    before, last = torch.randn(2, 5, 9, 9), torch.randn(2, 6, 9, 9)
    zero, one = cell.project_before(before), cell.project_last(last)
    two = F.max_pool2d(zero, 3, 2, 1) + cell.operations["01"](one)
    four = cell.operations["20"](two)
    torch.testing.assert_close(cell(before, last), torch.cat([torch.zeros_like(two), four], 1))
    assert cell(before, last).shape == (2, 16, 5, 5)


def test_a_projection_after_a_reduction_halves() -> None:
    projection, x = Projection(5, 6, halve=True), torch.randn(2, 5, 8, 8)
    assert projection(x).shape == (2, 6, 4, 4)
    assert count_cost(projection, (5, 8, 8)).params_m == (5 * 6 + 2 * 6) / 1e6


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_the_skeleton_halves_the_image_and_doubles_the_channels_twice(stem: str) -> None:
    network = NDSNetwork(Architecture(*DARTS_CELLS, 4, 6), 10, stem=stem, in_channels=1).eval()  # type: ignore[arg-type]
    before, last = network.stem(torch.zeros(1, 1, 32, 32))
    sides = {"cifar": (32, 32), "imagenet": (8, 4)}[stem]
    assert (before.shape[1:], last.shape[1:]) == tuple(
        (12 if stem == "cifar" else 4, side, side) for side in sides
    )
    shapes = []
    for cell in network.cells:
        before, last = last, cell(before, last)
        shapes.append(tuple(last.shape[1:3]))
    side = sides[1]
    assert shapes == [(16, side)] * 2 + [(32, side // 2)] * 2 + [(64, side // 4)] * 2


def test_loose_ends_set_the_channels_between_cells() -> None:
    nodes = ((("skip_connect", 0), ("skip_connect", 1)), (("conv_1x1", 0), ("conv_1x1", 1)))
    reduce = CellGraph((nodes[0], (("conv_1x1", 0), ("conv_1x1", 2))), (3,))
    arch = Architecture(CellGraph(nodes, (2, 3)), reduce, width=4, depth=5)
    network = NDSNetwork(arch, 10, in_channels=1)
    assert [cell.project_last.in_channels for cell in network.cells] == [12, 8, 8, 16, 16]  # type: ignore[union-attr]
    assert [cell.project_before.in_channels for cell in network.cells] == [12, 12, 8, 8, 16]  # type: ignore[union-attr]
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    for image_shape in ((1, 8, 8), (1, 11, 7)):
        assert count_cost(network, image_shape) == nds_cost(arch, 10, image_shape=image_shape)
