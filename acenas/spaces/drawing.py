"""Pictures of cells and of chains of blocks.

A report has a hundred of them. Cells are drawn on the figure itself: axes take longer than all that is in them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.transforms import Bbox, BboxTransform, Transform, TransformedBbox

INK, GROUND = "#1c1c21", "#fdfdfd"
"""Of text, and of what lies below it. Nothing else has these, so that a page can put others in their place."""

_CENTRE: Any = {"ha": "center", "va": "center", "parse_math": False, "color": INK}  # names may have a $

# Okabe and Ito's colours (2008), which colour-blind readers can tell apart, the light ones darkened: lines have a
# contrast of 3 at least on the grounds of pages, light and dark.
_COLOURS = {
    "skip_connect": "#80808a",
    **dict.fromkeys(
        ("avg_pool_3x3", "max_pool_3x3", "max_pool_5x5", "max_pool_7x7", "maxpool3x3"), "#B07800"
    ),
    **dict.fromkeys(("nor_conv_1x1", "conv1x1-bn-relu"), "#2B8FC9"),
    **dict.fromkeys(("nor_conv_3x3", "conv3x3-bn-relu"), "#0072B2"),
    **dict.fromkeys(("sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7"), "#0072B2"),
    **dict.fromkeys(("dil_conv_3x3", "dil_conv_5x5", "dil_sep_conv_3x3"), "#009E73"),
    **dict.fromkeys(("conv_1x1", "conv_3x3", "conv_3x1_1x3", "conv_7x1_1x7"), "#C06A9A"),
}
_LABELS = {
    "skip_connect": "skip", "input": "in", "output": "out", "before": "in, two before", "last": "in, last",
    "nor_conv_1x1": "conv 1×1", "nor_conv_3x3": "conv 3×3", "conv_1x1": "conv 1×1", "conv_3x3": "conv 3×3",
    "conv1x1-bn-relu": "conv 1×1", "conv3x3-bn-relu": "conv 3×3", "maxpool3x3": "max pool 3×3",
    "avg_pool_3x3": "avg pool 3×3", "max_pool_3x3": "max pool 3×3", "max_pool_5x5": "max pool 5×5",
    "max_pool_7x7": "max pool 7×7", "sep_conv_3x3": "sep 3×3", "sep_conv_5x5": "sep 5×5", "sep_conv_7x7": "sep 7×7",
    "dil_conv_3x3": "dil 3×3", "dil_conv_5x5": "dil 5×5", "dil_sep_conv_3x3": "dil sep 3×3",
    "conv_3x1_1x3": "conv 1×3, 3×1", "conv_7x1_1x7": "conv 1×7, 7×1",
}  # fmt: skip


def draw_edge_cell(edges: Sequence[tuple[int, int, str]], num_nodes: int) -> Figure:
    """Draws a cell with operations on edges: nodes in a row, edges as arcs coloured by operation.

    Args:
        edges: (source, target, operation) of every edge to draw; the first node is the input, the last the output.
        num_nodes: nodes of the cell.
    """
    width, height = 4.8, 2.4
    figure = Figure(figsize=(width, height))
    place = _fitted(figure, (-0.35, -0.85, num_nodes - 0.65, 1.1), (0, 0, width, height))
    for source, target, operation in edges:
        span = target - source
        # Arcs over more than one node alternate above and below the row, so that none hides another.
        bend = 0.0 if span == 1 else (-0.45 if source == 0 else 0.55) if span == 2 else -0.55
        colour = _COLOURS.get(operation, "#009E73")
        _draw_arrow(figure, place, (source, 0), (target, 0), bend, size=13, width=2.2, colour=colour, gap=13)
        # The middle of a quadratic Bézier arc lies at half the height of its control point.
        middle = ((source + target) / 2, -bend * span / 2)
        box = {"boxstyle": "round,pad=0.15", "facecolor": GROUND, "edgecolor": "none"}
        text = _LABELS.get(operation, operation)
        figure.text(*middle, text, **_CENTRE, fontsize=8, bbox=box, transform=place)
    for node in range(num_nodes):
        name = "in" if node == 0 else "out" if node == num_nodes - 1 else str(node)
        box = {"boxstyle": "circle,pad=0.35", "facecolor": GROUND, "edgecolor": INK}
        figure.text(node, 0, name, **_CENTRE, fontsize=10, bbox=box, transform=place)
    return figure


def draw_vertex_cells(
    cells: Mapping[str, tuple[Sequence[tuple[int, int]], Sequence[str]]], title: str = ""
) -> Figure:
    """Draws cells below each other: operations on vertices, from left to right by the longest path to each.

    Args:
        cells: by title, (source, target) of every edge and the operation of every vertex; vertices are numbered along
            the data.
        title: of the whole.
    """
    layouts = [_columns(*cell) for cell in cells.values()]
    heights = [max(2.6, 0.42 * max(map(len, columns)) + 0.8) for columns in layouts]
    width, top = 1.3 * max(map(len, layouts)) + 0.4, sum(heights) + (0.3 if title else 0)
    figure = Figure(figsize=(width, top))
    line: Any = {**_CENTRE, "va": "top", "fontsize": 10, "transform": figure.dpi_scale_trans}  # in inches
    if title:
        figure.text(width / 2, top - 0.08, title, **line)
    high = sum(heights)
    for (name, (edges, operations)), columns, height in zip(cells.items(), layouts, heights, strict=True):
        if name:
            figure.text(width / 2, high - 0.08, name, **line)
        box = (0, high - height, width, high - (0.25 if name else 0))
        _draw_vertex_cell(figure, box, edges, operations, columns)
        high -= height
    return figure


def _fitted(
    figure: Figure, content: tuple[float, float, float, float], box: tuple[float, float, float, float]
) -> Transform:
    """Where in `figure` the coordinates of `content` are, which fill `box`, in inches: left, low, right, high."""
    place = TransformedBbox(Bbox.from_extents(*box), figure.dpi_scale_trans)
    return BboxTransform(Bbox.from_extents(*content), place)


def _columns(edges: Sequence[tuple[int, int]], operations: Sequence[str]) -> list[list[int]]:
    """Returns the vertices of each column: a vertex stands to the right of all that lead to it."""
    column = [0] * len(operations)
    for source, target in sorted(edges):
        column[target] = max(column[target], column[source] + 1)
    return [[v for v in range(len(operations)) if column[v] == x] for x in range(max(column) + 1)]


def _draw_vertex_cell(
    figure: Figure, box: tuple[float, float, float, float],
    edges: Sequence[tuple[int, int]], operations: Sequence[str], columns: Sequence[Sequence[int]],
) -> None:  # fmt: skip
    column_of = {vertex: x for x, members in enumerate(columns) for vertex in members}
    # Vertices of one column stand above each other, and columns are shifted, so that few edges cross a vertex.
    place = {
        vertex: (x, row - (len(members) - 1) / 2 + (0.17 * (-1) ** x if 0 < x < len(columns) - 1 else 0.0))
        for x, members in enumerate(columns)
        for row, vertex in enumerate(members)
    }
    height = max(abs(y) for _, y in place.values()) + 1.3
    fitted = _fitted(figure, (-0.5, -height, len(columns) - 0.5, height), box)
    for source, target in edges:
        span = column_of[target] - column_of[source]
        bend = 0.0 if span == 1 else 1.1 / span * (-1) ** target
        ends = place[source], place[target]
        _draw_arrow(figure, fitted, *ends, bend, size=11, width=1.4, colour="#80808a", gap=16)
    for vertex, operation in enumerate(operations):
        edge = _COLOURS.get(operation, INK)
        frame = {"boxstyle": "round,pad=0.4", "facecolor": GROUND, "edgecolor": edge, "linewidth": 2.0}
        text = _LABELS.get(operation, operation)
        figure.text(*place[vertex], text, **_CENTRE, fontsize=8, bbox=frame, transform=fitted)


def _draw_arrow(
    figure: Figure, place: Transform, start: tuple[float, float], end: tuple[float, float], bend: float,
    *, size: float, width: float, colour: str, gap: float,
) -> None:  # fmt: skip
    """Draws an arc in the coordinates of `place`; `gap`, in points, is left free at both ends."""
    style: Any = {"connectionstyle": f"arc3,rad={bend}", "arrowstyle": "-|>", "mutation_scale": size}
    looks: Any = {"linewidth": width, "color": colour, "shrinkA": gap, "shrinkB": gap}
    figure.add_artist(FancyArrowPatch(start, end, **style, **looks, transform=place))


def draw_blocks(
    stages: Sequence[Sequence[tuple[int, int]]],
    channels: Sequence[int],
    largest: int,
    expansions: Sequence[int],
) -> Figure:
    """Draws a chain of blocks: a box as high as its kernel is wide, coloured by its expansion, stage by stage.

    Args:
        stages: (kernel size, expansion) of every block.
        channels: of each stage.
        largest: the largest kernel size of the space.
        expansions: all of the space.
    """
    colours = dict(zip(expansions, ("#2B8FC9", "#0072B2", "#B07800", "#D55E00", "#009E73"), strict=False))
    count = sum(map(len, stages)) + 0.6 * len(stages)
    figure = Figure(figsize=(0.42 * count + 0.8, 2.4), layout="constrained")
    axes = figure.add_subplot()
    x = 0.0
    for stage, width in zip(stages, channels, strict=True):
        middle = (x + (len(stage) - 1) / 2, -0.25)
        axes.annotate(str(width), middle, ha="center", va="top", fontsize=8, color=INK)
        for kernel, expansion in stage:
            colour, height = colours.get(expansion, "#80808a"), kernel / largest
            axes.bar(x, height, width=0.8, color=colour)
            text = f"{kernel}×{kernel}\ne{expansion}"
            axes.annotate(text, (x, height + 0.04), ha="center", va="bottom", fontsize=7, color=INK)
            x += 1
        x += 0.6
    axes.annotate("", (x - 0.6, -0.1), (-0.8, -0.1), arrowprops={"arrowstyle": "-|>", "color": "#80808a"})
    axes.set_xlim(-1, x - 0.4)
    axes.set_ylim(-0.55, 1.45)
    axes.set_axis_off()
    return figure
