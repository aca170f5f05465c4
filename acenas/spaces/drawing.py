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
}
_LABELS = {
    "skip_connect": "skip",
    "avg_pool_3x3": "avg pool 3×3",
    "nor_conv_1x1": "conv 1×1",
    "nor_conv_3x3": "conv 3×3",
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
