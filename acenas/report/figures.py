"""Figures of a finished search.

Colours are those of `acenas.spaces.drawing`, for the reasons given there.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.ticker import MaxNLocator, NullFormatter, ScalarFormatter
from numpy.typing import NDArray

from acenas.errors import shortened
from acenas.evaluation.objective import Objective
from acenas.files import atomic_path, shown
from acenas.report.epochs import curves_of, paid
from acenas.report.front import front_members, predicted, steps, true_front
from acenas.report.summary import FinishedSearch, cost_unit, pareto_front, round_metrics
from acenas.spaces.drawing import INK

BLUE, ORANGE, GREEN, VERMILION, GREY = "#0072B2", "#B07800", "#009E73", "#D55E00", "#80808a"
IN_WORDS = {"trained": "trained in full", "stopped": "stopped early", "failed": "failed"}
"""How a training ended, by its state."""

WORST_SHARE = 0.1
"""Of all values on the curves of trainings, those that are left out of the picture."""

AT_END = 20
"""Characters of a name at the end of a curve."""

STYLE: Any = {  # of every figure; matplotlib types each key of the settings
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GREY,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.hashsalt": "acenas",  # the same figure is the same file
    "text.parse_math": False,  # names may have a $
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
}


def search_curve(search: FinishedSearch) -> Figure:
    """What the search would have returned after every trained architecture, and how well each round ranked."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.6, 4.6), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
        _draw_returned(above, search)
        _draw_ndcg(below, search)
        return figure


def value_curve(
    values: "pd.Series[float]", curve: Sequence[Mapping[str, Any]], objective: Objective
) -> Figure:
    """What each training showed, the best so far, and how well each round ranked; for a notebook.

    Args:
        values: of the trainings, in their order; NaN for those that failed.
        curve: of the summary.
        objective: what the values are of.
    """
    from matplotlib import pyplot  # not the bare class: notebooks show its figures

    trained = range(1, len(values) + 1)
    best = objective.sign * (objective.sign * values).cummax()
    worst = values.quantile(0.1 if objective.sign > 0 else 0.9)  # the worst are left out of the picture
    with mpl.rc_context(STYLE):
        figure, (above, below) = pyplot.subplots(
            2, 1, sharex=True, figsize=(5.6, 4.6), height_ratios=[3, 2], layout="constrained"
        )
        above.scatter(trained, values, s=16, color=ORANGE, label="trained")
        above.step(trained, best, where="post", color=BLUE, label="best so far")
        ylim = (worst, None) if objective.sign > 0 else (None, worst)
        above.set(ylabel=objective.label("observed").replace("_", " "), ylim=ylim)
        above.legend(loc="lower right" if objective.sign > 0 else "upper right")
        ndcg = [float("nan") if point["ndcg@10"] is None else point["ndcg@10"] for point in curve]
        below.plot([point["trained"] for point in curve], ndcg, marker="o", color=GREEN)
        below.set(xlabel="architectures trained", ylabel="NDCG@10", ylim=(0, 1.02))
        pyplot.close(figure)  # shown once, as what the cell returns
    return figure


def training_curves(search: FinishedSearch) -> Figure:
    """What the trainings showed on their way; those that were stopped early are lighter."""
    found, _ = curves_of(search)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.6, 4.2), layout="constrained")
        axes = figure.subplots()
        for state, colour, width in (
            ("stopped", GREY, 0.8),
            ("failed", VERMILION, 1.2),
            ("trained", BLUE, 1.2),
        ):
            lines = [list(zip(each.at, each.values, strict=True)) for each in found if each.state == state]
            if lines:
                look: dict[str, Any] = {
                    "colors": colour,
                    "linewidths": width,
                    "alpha": 0.6,
                    "rasterized": True,
                }
                axes.add_collection(LineCollection(lines, label=IN_WORDS[state], **look))
        sign = search.objective.sign
        every = np.array([sign * value for each in found for value in each.values])
        low, high = float(np.quantile(every, WORST_SHARE)), float(every.max())
        margin = _margin(search, 0.05, high - low)
        axes.set_ylim(*sorted([sign * (low - margin), sign * (high + margin)]))
        axes.set_xscale("log")
        axes.set_xlim(min(each.at[0] for each in found) / 1.1, max(each.at[-1] for each in found) * 1.1)
        axes.set(xlabel="epochs", ylabel=search.objective.label("observed"), title="The trainings")
        axes.xaxis.set_major_formatter(_plain_numbers())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.legend(loc="lower right" if sign > 0 else "upper right")
        return figure


def score_scatter(search: FinishedSearch) -> Figure:
    """The final ranking against observed accuracies: a good one falls from left to right, and is tight on the left."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.6, 4.6), layout="constrained")
        _draw_scatter(figure.subplots(), search)
        return figure


def cost_fronts(search: FinishedSearch) -> Figure:
    """The observed objective against each limited cost of what was trained, the front of both, and the limit."""
    names, column = list(search.limits), search.objective.column
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.6 * len(names), 3.6), layout="constrained")
        for axes, name in zip(figure.subplots(1, len(names), squeeze=False).flat, names, strict=True):
            costs = search.costs[name].reindex(search.observations["arch"])
            axes.scatter(
                costs,
                search.observations[column],
                s=16,
                color=ORANGE,
                edgecolors=INK,
                linewidths=0.4,
                label="trained",
            )
            front = pareto_front(search, only=name)
            axes.plot(
                front[name],
                front[column],
                color=BLUE,
                marker="o",
                markersize=4.5,
                drawstyle="steps-post",
                label="front",
            )
            axes.axvline(search.limits[name], color=VERMILION, linestyle="--", linewidth=1.2, label="limit")
            title = f"{search.objective.name.capitalize()} and cost"
            axes.set(xlabel=name, ylabel=search.objective.label("observed"), title=title)
            axes.legend(loc="lower right")
            axes.xaxis.set_major_formatter(_plain_numbers())
        return figure


def front_figure(search: FinishedSearch) -> Figure:
    """The front that was found against each of its costs, with what was trained, what is known, and the true front.

    Where there is no true front, with what is predicted.

    Values are test values where they are known. Of several costs, each line is the front of the objective and one.
    """
    values, sign = search.values, search.objective.sign
    members, true = front_members(search).set_index("arch"), true_front(search)
    trained = list(dict.fromkeys(search.trained_or_given))
    known = search.known_test.reindex(search.known_costs.index)
    every = sign * pd.concat([known, values.reindex(trained)]).dropna()
    of_members = values.reindex(members.index).astype(np.float64)
    guess = pd.DataFrame() if true else predicted(search)
    if len(guess):
        every = pd.concat([every, sign * guess.iloc[:, 0]])
    low = min([every.quantile(0.05), *(sign * of_members.dropna())])  # the worst are left out of the picture
    margin = _margin(search, 0.05, every.max() - low)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.6 * len(search.front), 4.2), layout="constrained")
        plots = figure.subplots(1, len(search.front), squeeze=False).flat
        for axes, (name, direction) in zip(plots, search.front.items(), strict=True):
            costs = search.costs[name].combine_first(
                search.known_costs.get(name, pd.Series(dtype=np.float64))
            )
            look: dict[str, Any]
            if true:
                look = {"s": 5, "color": GREY, "alpha": 0.35, "linewidths": 0, "rasterized": True}
                axes.scatter(costs.reindex(known.index), known, **look, label="all known")
            if len(guess):
                look = {"s": 5, "color": GREEN, "alpha": 0.35, "linewidths": 0, "rasterized": True}
                of_cost = guess[name if name in guess else f"predicted_{name}"]
                axes.scatter(of_cost, guess.iloc[:, 0], **look, label="predicted")
            look = {"s": 16, "color": ORANGE, "edgecolors": INK, "linewidths": 0.4}
            axes.scatter(costs.reindex(trained), values.reindex(trained), **look, label="trained")
            if true:
                look = {"color": INK, "linestyle": "--", "linewidth": 1.2, "label": "true front"}
                _draw_steps(axes, costs, known.reindex(true), direction, sign, **look)
            _draw_steps(axes, costs, of_members, direction, sign, color=BLUE, linewidth=1.8)
            axes.plot(members[name], of_members, "o", color=BLUE, markersize=4.5, label="front found")
            look = {"color": VERMILION, "markeredgecolor": INK, "markersize": 9, "label": "its knee"}
            axes.plot(members.loc[members["knee"], name], of_members[members["knee"]], "^", **look)
            if name in search.limits:
                look = {"color": VERMILION, "linestyle": "--", "linewidth": 1.2, "label": "limit"}
                axes.axvline(search.limits[name], **look)
            axes.set_ylim(*sorted([sign * (low - margin), sign * (every.max() + margin)]))
            axes.set(xlabel=cost_unit(name), ylabel=search.objective.label(search.kind))
            axes.set_title(f"{search.objective.name.capitalize()} against cost")
            axes.legend(loc="best")
            axes.xaxis.set_major_formatter(_plain_numbers())
        return figure


def _draw_steps(
    axes: Axes, costs: "pd.Series[float]", values: "pd.Series[float]", direction: str, sign: int, **look: Any
) -> None:
    """The line of a front, from its cheapest member to the dearest of all costs."""
    at, best = steps(costs.reindex(values.index).to_numpy(np.float64), values.to_numpy(), direction, sign)
    if not len(at):
        return
    dearest = costs.max() if direction == "min" else costs.min()
    where = "steps-post" if direction == "min" else "steps-pre"
    order = np.argsort([*at, dearest], kind="stable")
    axes.plot(np.array([*at, dearest])[order], np.array([*best, *best[-1:]])[order], drawstyle=where, **look)


def report_figure(search: FinishedSearch, best: pd.DataFrame, pictures: Sequence[bytes]) -> Figure:
    """Curve, ranking and the six best cells (more could not be read) on one sheet, 900 pixels wide or more.

    Args:
        search: The finished search.
        best: `best_architectures(search)`.
        pictures: A PNG file for each row of it.
    """
    pictures = pictures[:6]
    rows = -(-len(pictures) // 3)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 5.0 + 1.8 * rows), layout="constrained")
        grid = figure.add_gridspec(2, 1, height_ratios=[5.0, 1.8 * rows])
        plots, cells = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
        axes = plots.subplot_mosaic([["returned", "scatter"], ["ndcg", "scatter"]], height_ratios=[3, 2])
        _draw_returned(axes["returned"], search)
        axes["ndcg"].sharex(axes["returned"])
        _draw_ndcg(axes["ndcg"], search)
        _draw_scatter(axes["scatter"], search)
        for place in cells.subplots(rows, 3, squeeze=False).flat:
            place.set_axis_off()
        rows_of_best = best.head(len(pictures)).to_dict("records")
        for number, (place, picture, row) in enumerate(
            zip(cells.axes, pictures, rows_of_best, strict=False), 1
        ):
            place.imshow(_pixels(picture))
            title = f"{number}. observed {shown(row[search.objective.column], search.objective.unit)}"
            if search.test is not None:
                title += f", test {shown(row[search.test_column], search.objective.unit)}"
            place.set_title(title, fontsize=9, fontweight="normal", loc="center")
        return figure


def save_figure(figure: Figure, path: str | Path) -> bytes:
    """Writes `figure` to `path`, atomically, as its suffix says (`.svg`, `.png`); returns what is in the file."""
    path = Path(path)
    content = figure_bytes(figure, path.suffix.removeprefix("."))
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return content


def figure_bytes(figure: Figure, file_format: str) -> bytes:
    """`figure` as a file: `"svg"` with a transparent ground, `"png"` on white."""
    content = io.BytesIO()
    options: dict[str, Any] = (
        {"transparent": True, "metadata": {"Date": None}} if file_format == "svg" else {}
    )
    # Text that stays text is a tenth of its outlines, and can be read out and searched.
    with mpl.rc_context({"svg.hashsalt": "acenas", "svg.fonttype": "none"}):
        figure.savefig(content, format=file_format, dpi=180, **options)
    return content.getvalue()


def _draw_returned(axes: Axes, search: FinishedSearch) -> None:
    returned = search.values.reindex(search.observations["returned"]).to_numpy()
    along = _along(search)[1:]
    ends = search.observations.groupby("round").size().sort_index().cumsum().to_numpy()
    best, sign = float(search.known_test[search.best_known]), search.objective.sign
    if search.test is not None:
        axes.axhline(best, color=GREY, linestyle="--", linewidth=1.2, label="best known")
    axes.plot(along, returned, color=BLUE, drawstyle="steps-post", linewidth=1.8, label="returned")
    axes.plot(along[ends - 1], returned[ends - 1], "o", color=BLUE, markersize=4.5, label="end of a round")
    later = returned[int(ends[0]) // 3 :]
    worst = sign * float(np.nanmin(sign * later))
    margin = _margin(search, 0.08, best - worst)
    axes.set_ylim(*sorted([worst - sign * margin, best + 2 * sign * margin]))
    axes.set(ylabel=search.objective.label(search.kind), title="What the search would return")
    axes.legend(loc="best")
    axes.yaxis.set_major_formatter(_plain_numbers())


def _along(search: FinishedSearch) -> NDArray[np.float64]:
    """`[n + 1]`: where a figure has each training, after 0: at its number, or with a budget of epochs at those paid."""
    epochs = paid(search.observations)
    if epochs is None or not search.in_epochs:
        return np.arange(len(search.observations) + 1.0)
    return np.array([0.0, *epochs])


def _draw_ndcg(axes: Axes, search: FinishedSearch) -> None:
    rows = round_metrics(search)
    trained = _along(search)[[int(row.get("search/trained", 0.0)) for row in rows]]
    for metric, colour, marker in (("ndcg@10", GREEN, "o"), ("kendall", ORANGE, "s")):
        values = [row.get(f"search/{metric}", row.get(f"pretrain/{metric}", np.nan)) for row in rows]
        label = {"ndcg@10": "NDCG@10", "kendall": "Kendall"}[metric]
        axes.plot(trained, values, marker=marker, color=colour, linewidth=1.8, markersize=4.5, label=label)
    axes.set(
        xlabel="epochs, of all trainings" if search.in_epochs else "architectures trained",
        ylim=(min(axes.get_ylim()[0], 0.0), 1.02),
        title="How well it ranks the space",
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.legend(loc="lower right")


def _draw_scatter(axes: Axes, search: FinishedSearch) -> None:
    rank = search.last_fit.rank(ascending=False, method="first")
    observed = search.observed.reindex(rank.index)
    trained = search.trained.set_index("arch")[search.objective.column]
    trained_rank = rank.reindex(trained.index)
    # The many points are one image within the SVG: as shapes they would be megabytes.
    axes.scatter(
        rank, observed, s=5, color=GREY, alpha=0.35, linewidths=0, rasterized=True, label="all known"
    )
    axes.scatter(trained_rank, trained, s=16, color=ORANGE, edgecolors=INK, linewidths=0.4, label="trained")
    if search.test is not None and search.best_known in rank.index:
        point = (rank[search.best_known], observed[search.best_known])
        axes.scatter(
            *point,
            s=70,
            marker="D",
            facecolors="none",
            edgecolors=BLUE,
            linewidths=1.6,
            label="best known (test)",
        )
    point = (rank.get(search.returned, np.nan), trained[search.returned])
    axes.scatter(
        *point, s=150, marker="*", color=VERMILION, edgecolors=INK, linewidths=0.5, label="returned", zorder=4
    )
    axes.set_xscale("log")
    axes.set_xlim(0.8, len(rank) * 1.2)
    known, sign = search.objective.sign * observed.dropna(), search.objective.sign
    low, high = float(np.quantile(known, 0.05)), float(max(known.max(), (sign * trained).max()))
    margin = _margin(search, 0.05, high - low)
    axes.set_ylim(*sorted([sign * (low - margin), sign * (high + margin)]))
    axes.xaxis.set_major_formatter(_plain_numbers())
    axes.set(
        xlabel="predicted rank (1 is best)",
        ylabel=search.objective.label("observed"),
        title="The final ranking",
    )
    axes.legend(loc="lower left" if sign > 0 else "upper left")


def label_ends(axes: Axes, ends: Mapping[str, tuple[float, str]]) -> None:
    """Writes names beside the ends of curves, given as value and colour, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    line = 1.15 * axes.get_figure().dpi * 7 / 72 / axes.get_window_extent().height  # type: ignore[union-attr]
    places: list[float] = []
    ordered = sorted(ends.items(), key=lambda end: end[1][0])
    for _, (value, _) in ordered:
        places.append(max((value - low) / (high - low), places[-1] + line if places else -np.inf))
    above = max(0, places[-1] - 1) if places else 0
    where: Any = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "center", "fontsize": 7}
    for (name, (_, colour)), place in zip(ordered, places, strict=True):
        axes.annotate("■ ", (1, place - above), (2, 0), color=colour, **where)
        axes.annotate(shortened(name, AT_END), (1, place - above), (10, 0), color=INK, **where)


def _margin(search: FinishedSearch, share: float, extent: float) -> float:
    """Room above and below values that extend so far: a share of it, and something where all are equal."""
    least = (
        0.02 if search.objective.unit == "%" else 0.01 * abs(float(search.values[search.returned])) or 1e-9
    )
    return max(share * abs(extent), least)


def _plain_numbers() -> ScalarFormatter:
    """No offsets and no powers of ten."""
    formatter = ScalarFormatter(useOffset=False)
    formatter.set_scientific(False)
    return formatter


def _pixels(png: bytes) -> NDArray[np.float32]:
    """A picture as an image, `[height, width, 4]`."""
    pixels: NDArray[np.float32] = imread(io.BytesIO(png))
    drawn = np.any(pixels[..., :3] < 1, axis=2)  # without the white around it, the drawing can be larger
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) > 0 else pixels
