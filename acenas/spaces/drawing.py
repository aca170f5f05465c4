"""Pictures of cells."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

# Colours that stay apart for colour-blind readers (Okabe and Ito, 2008).
_COLOURS = {
    "skip_connect": "#999999",
    "avg_pool_3x3": "#E69F00",
    "nor_conv_1x1": "#56B4E9",
    "nor_conv_3x3": "#0072B2",
    "maxpool3x3": "#E69F00",
    "conv1x1-bn-relu": "#56B4E9",
    "conv3x3-bn-relu": "#0072B2",
}
_LABELS = {
    "skip_connect": "skip",
    "avg_pool_3x3": "avg pool 3×3",
    "nor_conv_1x1": "conv 1×1",
    "nor_conv_3x3": "conv 3×3",
    "maxpool3x3": "max pool 3×3",
    "conv1x1-bn-relu": "conv 1×1",
    "conv3x3-bn-relu": "conv 3×3",
    "input": "in",
    "output": "out",
}


def draw_edge_cell(edges: Sequence[tuple[int, int, str]], num_nodes: int) -> Figure:
    """A cell whose operations sit on its edges: nodes in a row, edges as arcs coloured by operation.

    Args:
        edges: (source, target, operation) of every edge that is drawn; the first node is the input and the last
            one the output.
        num_nodes: nodes of the cell.
    """
    figure = Figure(figsize=(4.8, 2.4), layout="constrained")
    axes = figure.add_subplot()
    for source, target, operation in edges:
        span = target - source
        # Arcs over more than one node alternate above and below the row, so that no two lie on each other.
        bend = 0.0 if span == 1 else (-0.45 if source == 0 else 0.55) if span == 2 else -0.55
        colour = _COLOURS.get(operation, "#009E73")
        axes.add_patch(
            FancyArrowPatch(
                (source, 0),
                (target, 0),
                connectionstyle=f"arc3,rad={bend}",
                arrowstyle="-|>",
                mutation_scale=13,
                linewidth=2.2,
                color=colour,
                shrinkA=13,
                shrinkB=13,
            )
        )
        # The middle of a quadratic Bézier arc lies at half the height of its control point.
        axes.annotate(
            _LABELS.get(operation, operation),
            ((source + target) / 2, -bend * span / 2),
            ha="center",
            va="center",
            fontsize=8,
            color=colour,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none"},
        )
    for node in range(num_nodes):
        name = "in" if node == 0 else "out" if node == num_nodes - 1 else str(node)
        axes.annotate(
            name,
            (node, 0),
            ha="center",
            va="center",
            fontsize=10,
            bbox={"boxstyle": "circle,pad=0.35", "facecolor": "white", "edgecolor": "#333333"},
        )
    axes.set_xlim(-0.35, num_nodes - 0.65)
    axes.set_ylim(-0.85, 1.1)
    axes.set_axis_off()
    return figure


def draw_vertex_cell(edges: Sequence[tuple[int, int]], operations: Sequence[str]) -> Figure:
    """A cell whose operations sit on its vertices, from left to right by the longest way that leads to each.

    Args:
        edges: (source, target) of every edge; vertices are numbered along the data.
        operations: of each vertex.
    """
    column = [0] * len(operations)
    for source, target in sorted(edges):
        column[target] = max(column[target], column[source] + 1)
    columns = [[v for v in range(len(operations)) if column[v] == x] for x in range(max(column) + 1)]
    # Vertices of one column stand above each other, and columns are shifted, so that few edges cross a vertex.
    place = {
        vertex: (x, row - (len(members) - 1) / 2 + (0.17 * (-1) ** x if 0 < x < len(columns) - 1 else 0.0))
        for x, members in enumerate(columns)
        for row, vertex in enumerate(members)
    }
    figure = Figure(figsize=(1.3 * len(columns) + 0.4, 2.6), layout="constrained")
    axes = figure.add_subplot()
    for source, target in edges:
        span = column[target] - column[source]
        axes.add_patch(
            FancyArrowPatch(
                place[source],
                place[target],
                connectionstyle=f"arc3,rad={0.0 if span == 1 else 1.1 / span * (-1) ** target}",
                arrowstyle="-|>",
                mutation_scale=11,
                linewidth=1.4,
                color="#666666",
                shrinkA=16,
                shrinkB=16,
            )
        )
    for vertex, operation in enumerate(operations):
        axes.annotate(
            _LABELS.get(operation, operation),
            place[vertex],
            ha="center",
            va="center",
            fontsize=8,
            bbox={
                "boxstyle": "round,pad=0.4",
                "facecolor": "white",
                "edgecolor": _COLOURS.get(operation, "#333333"),
                "linewidth": 2.0,
            },
        )
    height = max(abs(y) for _, y in place.values()) + 0.8
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(-height, height)
    axes.set_axis_off()
    return figure


def draw_blocks(
    stages: Sequence[Sequence[tuple[int, int]]],
    channels: Sequence[int],
    largest: int,
    expansions: Sequence[int],
) -> Figure:
    """A chain of blocks: a box as high as its kernel is wide, coloured by its expansion, stage by stage.

    Args:
        stages: (kernel size, expansion) of every block.
        channels: of each stage.
        largest: kernel size there is.
        expansions: all there are.
    """
    colours = dict(zip(expansions, ("#56B4E9", "#0072B2", "#E69F00", "#D55E00", "#009E73"), strict=False))
    count = sum(map(len, stages)) + 0.6 * len(stages)
    figure = Figure(figsize=(0.42 * count + 0.8, 2.4), layout="constrained")
    axes = figure.add_subplot()
    x = 0.0
    for stage, width in zip(stages, channels, strict=True):
        axes.annotate(
            str(width), (x + (len(stage) - 1) / 2, -0.25), ha="center", va="top", fontsize=8, color="#333333"
        )
        for kernel, expansion in stage:
            colour = colours.get(expansion, "#999999")
            axes.bar(x, kernel / largest, width=0.8, color=colour)
            text = f"{kernel}×{kernel}\ne{expansion}"
            axes.annotate(
                text, (x, kernel / largest + 0.04), ha="center", va="bottom", fontsize=7, color=colour
            )
            x += 1
        x += 0.6
    axes.annotate("", (x - 0.6, -0.1), (-0.8, -0.1), arrowprops={"arrowstyle": "-|>", "color": "#666666"})
    axes.set_xlim(-1, x - 0.4)
    axes.set_ylim(-0.55, 1.45)
    axes.set_axis_off()
    return figure
