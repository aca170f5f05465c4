import numpy as np
import pytest
import torch
from torch import Tensor, nn

from acenas.spaces.nasbench101.network import (
    NasBench101Cell,
    NasBench101Network,
    nasbench101_operation,
    vertex_channels,
)

CONV3, CONV1, POOL = "conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"


def matrix(size: int, *edges: tuple[int, int]) -> np.ndarray:
    result = np.zeros((size, size), np.bool_)
    for edge in edges:
        result[edge] = True
    return result


INCEPTION = matrix(7, (0, 1), (0, 2), (0, 3), (0, 5), (1, 6), (2, 6), (3, 4), (4, 6), (5, 6))
OPERATIONS = ["input", CONV1, CONV3, CONV3, CONV3, POOL, "output"]


def conv_parameters(kernel: int, a: int, b: int) -> int:
    return kernel**2 * a * b + 2 * b


def test_parameters_are_the_sum_over_kernels_normalisations_and_the_head() -> None:
    """The cell of the benchmark's README, summed by hand: four vertices share each cell's output."""
    expected = conv_parameters(3, 3, 128) + 512 * 10 + 10
    for a, b in [(128, 128)] * 3 + [(128, 256)] + [(256, 256)] * 2 + [(256, 512)] + [(512, 512)] * 2:
        c = b // 4
        expected += 4 * conv_parameters(1, a, c) + conv_parameters(1, c, c) + 3 * conv_parameters(3, c, c)
    with torch.device("meta"):
        network = NasBench101Network(INCEPTION, OPERATIONS, num_classes=10)
    assert sum(parameter.numel() for parameter in network.parameters()) == expected == 2_694_282


@pytest.mark.parametrize(
    ("cell", "channels", "expected"),
    [
        (matrix(2, (0, 1)), (8, 16), [8, 16]),
        (matrix(4, (0, 1), (0, 2), (1, 3), (2, 3)), (8, 9), [8, 5, 4, 9]),
        # Vertex 1 leads to both 2 and 3 and is as wide as the wider one.
        (matrix(5, (0, 1), (1, 2), (1, 3), (2, 4), (3, 4)), (8, 9), [8, 5, 5, 4, 9]),
        (matrix(5, (0, 1), (1, 2), (2, 3), (3, 4), (0, 4)), (8, 16), [8, 16, 16, 16, 16]),
        (matrix(5, (0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)), (8, 128), [8, 43, 43, 42, 128]),
    ],
)
def test_vertices_before_the_output_share_its_channels(
    cell: np.ndarray, channels: tuple[int, int], expected: list[int]
) -> None:
    assert vertex_channels(cell, *channels) == expected


def test_too_few_channels_to_share_are_an_error() -> None:
    with pytest.raises(ValueError, match="2 vertices cannot share the 1 channels"):
        vertex_channels(matrix(4, (0, 1), (0, 2), (1, 3), (2, 3)), 8, 1)


@pytest.mark.parametrize("cell", [matrix(3, (0, 2)), matrix(3, (0, 1), (0, 2)), np.eye(3, k=1, dtype=bool).T])
def test_cells_that_are_not_pruned_are_an_error(cell: np.ndarray) -> None:
    with pytest.raises(ValueError, match="not pruned"):
        NasBench101Cell(cell, ["input", POOL, "output"], 4, 4)


def test_unknown_operations_are_an_error() -> None:
    with pytest.raises(ValueError, match="unknown operation 'conv5x5'"):
        nasbench101_operation("conv5x5", 4)


def test_a_cell_computes_projections_truncated_sums_and_a_concatenation() -> None:
    """By hand: 0→1, 1→2, 1→3, 2→4, 3→4, 0→3, 0→4; the output has 5 channels, so vertex 3 is narrower than 1."""
    torch.manual_seed(0)
    cell = NasBench101Cell(
        matrix(5, (0, 1), (1, 2), (1, 3), (2, 4), (3, 4), (0, 3), (0, 4)),
        ["input", CONV3, POOL, CONV1, "output"],
        4,
        5,
    ).eval()
    assert cell.channels == [4, 3, 3, 2, 5]
    x = torch.randn(2, 4, 6, 6)

    def layer(part: nn.Module, value: Tensor) -> Tensor:
        conv, norm = part[0], part[1]  # type: ignore[index]
        scaled = nn.functional.conv2d(value, conv.weight, padding=conv.weight.shape[-1] // 2)
        return torch.relu(scaled / (1 + norm.eps) ** 0.5)  # fresh statistics: mean 0, variance 1

    one = layer(cell.operations["1"], layer(cell.projections["1"], x))
    two = nn.functional.max_pool2d(one, 3, 1, 1)
    three = layer(cell.operations["3"], one[:, :2] + layer(cell.projections["3"], x))
    expected = torch.cat([two, three], 1) + layer(cell.projections["4"], x)
    torch.testing.assert_close(cell(x), expected)
    assert set(cell.projections) == {"1", "3", "4"}


def test_the_input_alone_is_projected() -> None:
    cell = NasBench101Cell(matrix(2, (0, 1)), ["input", "output"], 4, 6).eval()
    x = torch.randn(2, 4, 3, 3)
    torch.testing.assert_close(cell(x), cell.projections["1"](x))


def test_the_skeleton_halves_the_image_and_doubles_the_channels_between_stages() -> None:
    network = NasBench101Network(INCEPTION, OPERATIONS, 10, channels=8, cells_per_stage=2).eval()
    shapes, x = {}, torch.zeros(1, 3, 16, 16)
    for name, layer in network.named_children():
        x = layer(x)
        shapes[name] = tuple(x.shape[1:])
    assert shapes == {
        "stem": (8, 16, 16), "stage1_cell1": (8, 16, 16), "stage1_cell2": (8, 16, 16),
        "pool1": (8, 8, 8), "stage2_cell1": (16, 8, 8), "stage2_cell2": (16, 8, 8),
        "pool2": (16, 4, 4), "stage3_cell1": (32, 4, 4), "stage3_cell2": (32, 4, 4), "head": (10,),
    }  # fmt: skip


def test_every_parameter_is_trained() -> None:
    network = NasBench101Network(INCEPTION, OPERATIONS, 3, channels=4, cells_per_stage=1, stages=2)
    network(torch.randn(4, 3, 8, 8)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
