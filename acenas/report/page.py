"""`report.html`: one file that needs nothing else, to be read on a phone and in the dark as well."""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from acenas.files import number, write_text
from acenas.report.figures import (
    INK,
    cost_fronts,
    figure_bytes,
    report_figure,
    save_figure,
    score_scatter,
    search_curve,
)
from acenas.report.summary import (
    FinishedSearch,
    best_architectures,
    build_summary,
    cost_unit,
    pareto_front,
)

PAGES = Environment(
    loader=PackageLoader("acenas.report"),
    autoescape=lambda name: name is not None and name.endswith(".html"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
"""The templates of all pages; text in them is escaped unless it is marked as safe."""


def write_report(
    folder: str | Path,
    search: FinishedSearch,
    draw: Callable[[str], Figure],
    configuration: str,
    properties: pd.DataFrame | None = None,
) -> None:
    """Writes `report.html`, `report.png`, `search_curve.svg` and `ranking.svg` (and `costs.svg`) into `folder`.

    Args:
        folder: The run folder.
        search: The finished search.
        draw: Makes a picture of an architecture.
        configuration: The resolved configuration, as the page shows it.
        properties: The costs of architectures: one row per architecture (index), columns as `cost_unit` has them.
    """
    folder = Path(folder)
    best = best_architectures(search)
    pictures = [draw(arch) for arch in best["arch"]]
    save_figure(search_curve(search), folder / "search_curve.svg")
    save_figure(score_scatter(search), folder / "ranking.svg")
    if search.limits:
        save_figure(cost_fronts(search), folder / "costs.svg")
    save_figure(report_figure(search, best, pictures), folder / "report.png")
    write_text(folder / "report.html", build_page(search, best, pictures, configuration, properties))


def build_page(
    search: FinishedSearch,
    best: pd.DataFrame,
    pictures: Sequence[Figure],
    configuration: str,
    properties: pd.DataFrame | None = None,
) -> str:
    """The page as HTML; the arguments are those of `write_report`, `best` is `best_architectures(search)`."""
    summary = build_summary(search)
    returned = summary["returned"]
    facts = {
        "observed accuracy": f"{number(returned['observed_accuracy'])} %",
        "test accuracy": f"{number(returned['test_accuracy'])} %",
        "best known, test": f"{number(summary['best_known']['test_accuracy'])} %",
        "regret": number(summary["regret"]),
        "architectures trained": str(summary["trained"]),
    }
    top = {
        name.split("_")[0].removeprefix("top"): name for name in summary["metrics"] if name.startswith("top")
    }
    return PAGES.get_template("report.html").render(
        title=f"{summary['experiment']} · {summary['table']} {summary['dataset']}",
        subtitle=f"seed {summary['seed']}, {summary['seconds']['total']:.0f} seconds",
        returned=returned["arch"],
        facts=facts,
        figures=[inline_svg(search_curve(search)), inline_svg(score_scatter(search))],
        **_constraints(search),
        metrics_header=["first k by score", *top],
        metrics=[
            ["NDCG@k", *(number(summary["metrics"][f"ndcg@{k}"], 3) for k in top)],
            [
                "test accuracy of the best observed (%)",
                *(number(summary["metrics"][name]) for name in top.values()),
            ],
        ],
        correlations=f"Kendall {number(summary['metrics']['kendall'], 3)}, "
        f"Spearman {number(summary['metrics']['spearman'], 3)}",
        cells=[
            _cell(row, picture, {} if properties is None else dict(properties.loc[row["arch"]]))
            for row, picture in zip(best.to_dict("records"), pictures, strict=True)
        ],
        rounds=[
            [str(row["trained"]), number(row["returned_test_accuracy"]), number(row["ndcg@10"], 3)]
            for row in summary["curve"]
        ],
        seconds=[[stage, f"{value:.1f}"] for stage, value in summary["seconds"].items()],
        versions=", ".join(f"{name} {version}" for name, version in summary["versions"].items()),
        configuration=configuration,
    )


def _constraints(search: FinishedSearch) -> dict[str, Any]:
    """Each limit with the cost of the returned architecture, and the front of accuracy and cost."""
    if not search.limits:
        return {"limits": []}
    limits = [
        [name, f"{limit:g}", f"{search.costs[name][search.returned]:.4g}", search.cost_origins.get(name, "")]
        for name, limit in search.limits.items()
    ]
    front = [
        [
            number(row["observed_accuracy"]),
            number(row["test_accuracy"]),
            *(f"{row[name]:.4g}" for name in search.limits),
            row["arch"],
        ]
        for row in pareto_front(search).to_dict("records")
    ]
    return {
        "limits": limits,
        "cost_fronts": inline_svg(cost_fronts(search)),
        "front_header": ["observed (%)", "test (%)", *search.limits, "architecture"],
        "front": front,
    }


def _cell(row: Mapping[Any, Any], picture: Figure, properties: Mapping[Any, Any]) -> tuple[str, str, str]:
    """An architecture, its picture and what is known of it."""
    facts = [
        f"observed {number(row['observed_accuracy'])} %",
        f"test {number(row['test_accuracy'])} %",
        f"predicted rank {row['predicted_rank']}",
        f"round {row['round']} ({row['reason']})",
        *(f"{value:.3g} {cost_unit(name)}" for name, value in properties.items() if value == value),
    ]
    return row["arch"], inline_png(picture), ", ".join(facts)


def inline_png(figure: Figure) -> str:
    """Returns `figure` as a URL that holds the picture itself."""
    return f"data:image/png;base64,{base64.b64encode(figure_bytes(figure, 'png')).decode()}"


def inline_svg(figure: Figure) -> str:
    """Returns `figure` as an element of the page, with lines and text in the page's text colour."""
    return as_element(figure_bytes(figure, "svg").decode())


def as_element(svg: str) -> str:
    """Turns the SVG file of a figure into an element of the page, with lines and text in the page's text colour."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    return svg.replace(INK, "currentColor")
