"""`report.html`: one file that needs nothing else, to be read on a phone and in the dark as well."""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from acenas.errors import shortened
from acenas.files import number, shown, write_text
from acenas.report.figures import (
    INK,
    cost_fronts,
    figure_bytes,
    report_figure,
    save_figure,
    score_scatter,
    search_curve,
)
from acenas.report.identity import Identity, identity_of, seconds_in_words
from acenas.report.runs import difference
from acenas.report.summary import (
    FinishedSearch,
    best_architectures,
    build_summary,
    cost_unit,
    pareto_front,
    round_metrics,
)

PAGES = Environment(
    loader=PackageLoader("acenas.report"),
    autoescape=lambda name: name is not None and name.endswith(".html"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
"""The templates of all pages; text in them is escaped unless it is marked as safe."""

PAGES.filters["short"] = shortened

SCRIPT = PAGES.get_template("comparison.js").render()
"""The only script that a page may run: browsers compare its hash."""

PAGES.globals["script"] = SCRIPT
PAGES.globals["script_hash"] = Markup(
    f"'sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()}'"
)


def write_report(
    folder: str | Path,
    search: FinishedSearch,
    draw: Callable[[str], Figure],
    configuration: str,
    properties: pd.DataFrame | None = None,
) -> list[bytes]:
    """Writes `report.html`, `report.png`, `search_curve.svg` and `ranking.svg` (and `costs.svg`) into `folder`.

    Each figure is drawn once, as drawing takes longer than all else.

    Args:
        folder: The run folder.
        search: The finished search.
        draw: Makes a picture of an architecture.
        configuration: The resolved configuration, as the page shows it.
        properties: The costs of architectures: one row per architecture (index), columns as `cost_unit` has them.

    Returns:
        The pictures of `best_architectures(search)` as PNG files.
    """
    folder = Path(folder)
    best = best_architectures(search)
    pictures = [figure_bytes(draw(arch), "png") for arch in best["arch"]]
    plots = {"search_curve": search_curve(search), "ranking": score_scatter(search)}
    if search.limits:
        plots["costs"] = cost_fronts(search)
    told = _told(search)
    elements = {
        name: as_element(save_figure(plot, folder / f"{name}.svg"), told[name])
        for name, plot in plots.items()
    }
    save_figure(report_figure(search, best, pictures), folder / "report.png")
    write_text(
        folder / "report.html", _page(folder, search, best, elements, pictures, configuration, properties)
    )
    return pictures


def _page(
    folder: Path,
    search: FinishedSearch,
    best: pd.DataFrame,
    plots: Mapping[str, str],
    pictures: Sequence[bytes],
    configuration: str,
    properties: pd.DataFrame | None,
) -> str:
    """The page as HTML; `plots` are elements of it, the other arguments those of `write_report`."""
    summary, unit = build_summary(search), search.objective.unit
    returned, name = summary["returned"], search.objective.name
    facts = {f"observed {name}": shown(returned[search.objective.column], unit)}
    if search.test is None:
        facts[f"test {name}"] = "nobody knows it"
    else:
        facts[f"test {name}"] = shown(returned[search.test_column], unit)
        facts["best known, test"] = shown(summary["best_known"][search.test_column], unit)
        facts["test regret"] = difference(summary["regret"], unit)
    facts["architectures trained"] = str(summary["trained"])
    facts |= {what: str(summary[what]) for what in ("failed", "given") if summary[what]}
    if len(search.given):
        facts["best given"] = shown(summary["best_given"][search.objective.column], unit)
    top = {key.split("_")[0].removeprefix("top"): key for key in summary["metrics"] if key.startswith("top")}
    ndcg = {key.removeprefix("ndcg@"): key for key in summary["metrics"] if key.startswith("ndcg@")}
    best_of_top = f"test {name} of the best observed of them{f' ({unit})' if unit else ''}"
    return PAGES.get_template("report.html").render(
        **heads(identity_of(folder, summary), summary["seconds"]["total"]),
        returned=returned["arch"],
        facts=facts,
        figures=[plots["search_curve"], plots["ranking"]],
        cost_fronts=plots.get("costs"),
        **_constraints(search),
        metrics_header=["first k by score", *ndcg],
        metrics=[
            ["NDCG@k", *(number(summary["metrics"][key], 3) for key in ndcg.values())],
            *(
                [[best_of_top, *(_bare(summary["metrics"][key], unit) for key in top.values())]]
                if top
                else []
            ),
        ],
        correlations=f"Kendall {number(summary['metrics']['kendall'], 3)}, "
        f"Spearman {number(summary['metrics']['spearman'], 3)}",
        cells=[
            _cell(search, row, picture, {} if properties is None else dict(properties.loc[row["arch"]]))
            for row, picture in zip(best.to_dict("records"), pictures, strict=True)
        ],
        rounds_header=[
            "architectures trained",
            search.objective.label(search.kind).replace(name, f"{name} of the returned"),
            "NDCG@10",
        ],
        rounds=[
            [str(trained), _bare(value, unit), number(ndcg_at_10, 3)]
            for trained, value, ndcg_at_10 in map(dict.values, summary["curve"])
        ],
        failures=[
            [row["arch"], str(row["round"]), row["message"]] for row in search.failed.to_dict("records")
        ],
        given_header=["architecture", search.objective.label("given")],
        given=[[arch, _bare(value, unit)] for arch, value in search.given.itertuples(index=False)],
        seconds=[[stage, f"{value:.1f}"] for stage, value in summary["seconds"].items()],
        versions=", ".join(f"{name} {version}" for name, version in summary["versions"].items()),
        configuration=configuration,
    )


def _told(search: FinishedSearch) -> dict[str, str]:
    """What each figure shows, in words."""
    label, count = search.objective.label(search.kind), len(search.observations)
    last = round_metrics(search)[-1]
    value, rank = search.values[search.returned], search.last_fit.rank(ascending=False, method="min")
    return {
        "search_curve": f"Curves over {count} trainings: {label} of what the search would return, {value:.5g} at the "
        f"end, and how well each round ranks the space, NDCG@10 {number(last['search/ndcg@10'], 3)} at the end.",
        "ranking": f"Observed {search.objective.name} against predicted rank, of {len(rank)} architectures, with the "
        f"{count} that were trained; the returned one has rank {number(rank.get(search.returned), 0)}.",
        "costs": f"Observed {search.objective.name} of what was trained against {', '.join(search.limits)}, with the "
        "limit and the front of both.",
    }


def heads(who: Identity, seconds: float) -> dict[str, str]:
    """What a page of one run begins with: its name, and how it came about."""
    came = [
        *([] if who.seed is None else [f"seed {who.seed}"]),
        *([f"began {who.date} UTC"] if who.date else []),
        f"took {seconds_in_words(seconds)}",
        *([who.code] if who.code else []),
    ]
    return {"title": who.title, "subtitle": " · ".join(came), "command": who.command}


def _constraints(search: FinishedSearch) -> dict[str, Any]:
    """Each limit with the cost of the returned architecture, and the front of objective and cost."""
    if not search.limits:
        return {"limits": []}
    limits = [
        [name, f"{limit:g}", f"{search.costs[name][search.returned]:.4g}", search.cost_origins.get(name, "")]
        for name, limit in search.limits.items()
    ]
    kinds = {"observed": search.objective.column} | (
        {} if search.test is None else {"test": search.test_column}
    )
    unit = search.objective.unit
    front = [
        [
            *(_bare(row[column], unit) for column in kinds.values()),
            *(f"{row[name]:.4g}" for name in search.limits),
            row["arch"],
        ]
        for row in pareto_front(search).to_dict("records")
    ]
    return {
        "limits": limits,
        "front_header": [
            *(f"{kind} ({unit})" if unit else kind for kind in kinds),
            *search.limits,
            "architecture",
        ],
        "front": front,
    }


def _bare(value: float | None, unit: str) -> str:
    """The value as `shown` writes it, without the unit: that stands at the head of the table."""
    return shown(value, unit).removesuffix(f" {unit}")


def _cell(
    search: FinishedSearch, row: Mapping[Any, Any], picture: bytes, properties: Mapping[Any, Any]
) -> tuple[str, str, str]:
    """An architecture, its picture and what is known of it."""
    unit = search.objective.unit
    facts = [
        f"observed {shown(row[search.objective.column], unit)}",
        *([] if search.test is None else [f"test {shown(row[search.test_column], unit)}"]),
        f"predicted rank {row['predicted_rank']}",
        f"round {row['round']} ({row['reason']})",
        *(f"{value:.3g} {cost_unit(name)}" for name, value in properties.items() if value == value),
    ]
    return row["arch"], inline_png(picture), ", ".join(facts)


def inline_png(png: bytes) -> str:
    """Returns the PNG file of a picture as a URL that holds the picture itself."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def as_element(file: bytes, told: str = "a figure") -> str:
    """Turns the SVG file of a figure into an element of the page, with lines and text in the page's text colour.

    Args:
        file: the SVG.
        told: what it shows, for those who do not see it.
    """
    svg = file.decode().replace("<svg", f'<svg role="img" aria-label="{escape(told)}"', 1)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    return svg.replace(INK, "currentColor")
