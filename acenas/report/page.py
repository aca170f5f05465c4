"""`report.html`: one file that needs nothing else, to be read on a phone and in the dark as well."""

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from acenas.errors import shortened
from acenas.files import number, shown, write_text
from acenas.report.epochs import curves_of, paid, where_spent, why_stopped
from acenas.report.figures import (
    cost_fronts,
    figure_bytes,
    front_figure,
    report_figure,
    save_figure,
    score_scatter,
    search_curve,
    training_curves,
)
from acenas.report.front import best_predicted, front_members, front_metrics, predicted, true_front
from acenas.report.identity import Identity, identity_of, seconds_in_words
from acenas.report.runs import PAGE, difference
from acenas.report.summary import (
    FinishedSearch,
    best_architectures,
    build_summary,
    cost_unit,
    pareto_front,
    round_metrics,
)
from acenas.search.events import stopped_ones
from acenas.spaces.drawing import GROUND, INK

PAGES = Environment(
    loader=PackageLoader("acenas.report"),
    autoescape=lambda name: name is not None and name.endswith(".html"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
"""The templates of all pages; text in them is escaped unless it is marked as safe."""

PAGES.filters["short"] = shortened

_TEMPLATES = Path(__file__).parent / "templates"

SCRIPT = "".join(
    (_TEMPLATES / name).read_text(encoding="utf-8") for name in ("uplot/uPlot.iife.min.js", "page.js")
)
"""The only script that a page may run: browsers compare its hash."""

PAGES.globals["script"] = Markup(SCRIPT)
PAGES.globals["script_hash"] = Markup(
    f"'sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()}'"
)
PAGES.globals["chart_style"] = Markup((_TEMPLATES / "uplot/uPlot.min.css").read_text(encoding="utf-8"))

POINTS = 16_000
"""Architectures that a page has at most beside the trained ones: the best ranked, and every so many of the rest."""

OF_PREDICTED = 1_000
"""Of these at most so many of the best predicted fronts, wherever they are ranked."""

PICTURES = 100
"""Architectures of which a page has pictures: the best observed, those of the front found and of the true one, then
more of the best. Drawing one takes a tenth of a second."""

DARK = (
    "<style>svg{--ink:#1c1c21;--ground:#f4f4f6}"
    "@media(prefers-color-scheme:dark){svg{--ink:#ececf1;--ground:#232329}}</style>"
)
"""Colours of a picture, those of `style.css`: a page's own do not reach into an image."""


class Cell(NamedTuple):
    """A cell of a table that can be sorted."""

    text: str
    value: float | None = None
    """The number to sort by; None for a cell of words."""
    best: bool = False
    """Whether no other method is better after as many trainings."""
    link: str | None = None
    hint: str = ""
    """What is said on hover."""
    method: bool = False
    """Whether it names the method that its row is of."""


def write_report(
    folder: str | Path,
    search: FinishedSearch,
    draw: Callable[[str], Figure],
    configuration: str,
    properties: pd.DataFrame | None = None,
    train: str = "",
    train_member: str = "",
) -> list[bytes]:
    """Writes `report.html`, `report.png`, `search_curve.svg` and `ranking.svg` into `folder`.

    And `front.svg` of a search with a front, else `costs.svg` of one with limits; `curves.svg` of trainings that report
    on their way.

    Each figure is drawn once, as drawing takes longer than all else.

    Args:
        folder: The run folder.
        search: The finished search.
        draw: Makes a picture of an architecture.
        configuration: The resolved configuration, as the page shows it.
        properties: The costs of architectures: one row per architecture (index), columns as `cost_unit` has them.
        train: The command that trains an architecture, with `ARCHITECTURE` in its place; empty for none.
        train_member: The command that trains a member of the front, with `MEMBER` in the place of its number.

    Returns:
        The pictures of `best_architectures(search)` as PNG files.
    """
    folder = Path(folder)
    best = best_architectures(search)
    fronts = [*front_members(search)["arch"], *true_front(search)] if search.front else []
    wanted = [*best["arch"], *fronts, *best_architectures(search, PICTURES)["arch"]]
    drawn = {arch: draw(arch) for arch in list(dict.fromkeys(wanted))[:PICTURES]}
    pictures = [figure_bytes(drawn[arch], "png") for arch in best["arch"]]
    plots = {"search_curve": search_curve(search), "ranking": score_scatter(search)}
    if search.front:
        plots["front"] = front_figure(search)
    elif search.limits:
        plots["costs"] = cost_fronts(search)
    if curves_of(search)[0]:
        plots["curves"] = training_curves(search)
    told = _told(search)
    elements = {
        name: as_element(save_figure(plot, folder / f"{name}.svg"), told[name])
        for name, plot in plots.items()
    }
    save_figure(report_figure(search, best, pictures), folder / "report.png")
    costs = _with_those_of_front(search, pd.DataFrame() if properties is None else properties)
    images = {arch: picture(figure) for arch, figure in drawn.items()}
    page = _page(folder, search, best, elements, told, images, configuration, costs, train, train_member)
    write_text(folder / PAGE, page)
    return pictures


def _page(
    folder: Path,
    search: FinishedSearch,
    best: pd.DataFrame,
    plots: Mapping[str, str],
    told: Mapping[str, str],
    pictures: Mapping[str, str],
    configuration: str,
    costs: pd.DataFrame,
    train: str,
    train_member: str,
) -> str:
    """The page as HTML; `plots` are elements of it, `pictures` URLs, the other arguments those of `write_report`."""
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
    if search.in_epochs:
        epochs = summary["epochs"]
        facts["stopped early"] = str(epochs["stopped"])
        facts["epochs"] = f"{epochs['paid']:.5g} of {epochs['budget']:.5g}"
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
        front=_front(search, plots["front"], train_member) if search.front else None,
        curves=_curves(search, plots["curves"]) if "curves" in plots else None,
        spent=_spent(search),
        axes=["epochs", "trainings"] if search.in_epochs else ["trainings", "epochs"],
        counted=paid(search.observations) is not None,
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
        cells=[_cell(search, row, pictures[row["arch"]], costs) for row in best.to_dict("records")],
        **_trained(search, costs),
        told=told,
        judged=search.test is not None,
        would=search.objective.label(search.kind),
        train=train.replace("ARCHITECTURE", returned["arch"]),
        data=packed(_data(search, costs, pictures, train, train_member) | _epochs_data(search)),
        rounds_header=[
            "architectures trained",
            search.objective.label(search.kind).replace(name, f"{name} of the returned"),
            "NDCG@10",
            *(["epochs"] if "epochs" in summary else []),
        ],
        rounds=[
            [
                str(row["trained"]),
                _bare(row[f"returned_{search.kind}_{name}"], unit),
                number(row["ndcg@10"], 3),
                *([f"{row['epochs']:.5g}"] if "epochs" in summary else []),
            ]
            for row in summary["curve"]
        ],
        failures=[
            [row["arch"], str(row["round"]), row["message"]] for row in search.failed.to_dict("records")
        ],
        given_header=["architecture", search.objective.label("given")],
        given=[
            [row["arch"], _bare(row[search.objective.column], unit)]
            for row in search.given.to_dict("records")
        ],
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
        "curves": f"Curves of the trainings: observed {search.objective.name} against epochs. The table of all trained "
        "architectures says how each ended.",
        "front": f"{label.capitalize()} against {', '.join(map(cost_unit, search.front))}, with the front that was "
        "found: the table of its members has its values.",
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


def _with_those_of_front(search: FinishedSearch, costs: pd.DataFrame) -> pd.DataFrame:
    """The costs, and those of the front wherever they are known."""
    if not search.front:
        return costs
    trained = search.costs[list(search.front)]
    every = costs.combine_first(search.known_costs).combine_first(trained)
    of_predicted = predicted(search)
    every = every.combine_first(of_predicted[[name for name in search.front if name in of_predicted]])
    return every[list(dict.fromkeys([*costs, *search.front]))]


def _front(search: FinishedSearch, figure: str, train: str) -> dict[str, Any]:
    """The front that was found, in words and as a table of its members."""
    members, unit = front_members(search), search.objective.unit
    kinds = {search.objective.label("observed"): search.objective.column} | (
        {} if search.test is None else {search.objective.label("test"): search.test_column}
    )
    trained_in = search.observations.groupby("arch")["round"].last()
    rows = [
        [
            Cell(str(number), number),
            *(Cell(_bare(row[column], unit), row[column]) for column in kinds.values()),
            *(Cell(f"{row[name]:.4g}", row[name]) for name in search.front),
            *(
                Cell("given" if place == 0 else str(place), float(place))
                for place in [trained_in.get(row["arch"], 0)]
            ),
            Cell("knee" if row["knee"] else "–", float(row["knee"])),
            Cell(row["arch"]),
        ]
        for number, row in enumerate(members.to_dict("records"))
    ]
    share = [row.get("front/hypervolume_share") for row in front_metrics(search)[-1:]]
    told = [
        f"{len(members)} of the trained{' and given' if len(search.given) else ''} architectures: no other is as good "
        "at as low a cost.",
        *(
            ["It was chosen by what was observed; the chart shows test values."]
            if search.test is not None
            else []
        ),
        *(f"It has {number(each, 3)} of the true front's hypervolume." for each in share if each is not None),
        "What was not trained is shown with what is predicted to be observed of it, as a quantile of what was "
        "observed: never beyond that."
        if len(search.predicted)
        else "This search predicts no values, only an order: what is neither trained nor known has no place in "
        "the chart.",
    ]
    return {
        "title": f"{search.objective.name.capitalize()} against cost",
        "told": " ".join(told),
        "figure": figure,
        "true": bool(true_front(search)),
        "predicted": len(search.predicted) > 0,
        "known": bool({*search.values.dropna().index} - {*search.trained_or_given}),
        "header": ["member", *kinds, *map(cost_unit, search.front), "round", "knee", "architecture"],
        "members": rows,
        "train": train.replace("MEMBER", "K"),
    }


def _front_data(search: FinishedSearch, archs: Sequence[str], train: str) -> dict[str, Any]:
    """What the chart of the front shows, beside `_data`: members by their strings, predictions of each of `archs`."""
    if not search.front:
        return {}
    members = front_members(search)
    return {
        "front": {
            "y": search.objective.label(search.kind),
            "costs": [
                {"name": cost_unit(name), "sign": 1 if direction == "min" else -1}
                for name, direction in search.front.items()
            ],
            "members": members["arch"].tolist(),
            "knee": members["arch"][members["knee"]].tolist(),
            "true": true_front(search),
            "predicted": _predicted(search, archs),
            "train": train,
        }
    }


def _curves(search: FinishedSearch, figure: str) -> dict[str, Any]:
    """What stands beside the chart of the curves."""
    found, left_out = curves_of(search)
    return {
        "figure": figure,
        "told": f"{len(found)} of {len(found) + left_out} curves, all that were trained in full first."
        if left_out
        else "",
    }


def _spent(search: FinishedSearch) -> list[list[str]]:
    """Where the epochs went: on what, how many trainings, epochs, and the share of all epochs."""
    parts = where_spent(search) if search.in_epochs else []
    every = sum(part.epochs for part in parts) or 1.0
    return [
        [part.on, str(part.trainings), f"{part.epochs:.5g}", f"{100 * part.epochs / every:.1f} %"]
        for part in parts
    ]


def _epochs_data(search: FinishedSearch) -> dict[str, Any]:
    """What the charts show where epochs are counted, beside `_data`: by the number of a training, from 0."""
    epochs, unit = paid(search.observations), search.objective.unit
    if epochs is None:
        return {}
    stopped = np.flatnonzero(stopped_ones(search.observations))
    found, _ = curves_of(search)
    trials = search.observations.iloc[stopped]
    curves = None if search.spending is None else search.spending.curves.sort_values("epochs", kind="stable")
    last = {} if curves is None else curves.groupby("arch")["value"].last().to_dict()
    return {
        "paid": plain(epochs),
        "why": {
            int(n): why_stopped(search, spent) + f": {shown(last.get(arch), unit)}"
            for n, arch, spent in zip(stopped, trials["arch"], trials["epochs"], strict=True)
        },
        "curves": [
            [each.training - 1, each.state, plain(each.at), plain(each.values, unit)] for each in found
        ],
    }


def _predicted(search: FinishedSearch, archs: Sequence[str]) -> dict[str, Any] | None:
    """What is predicted of `archs`, if not trained: value, a deviation to either side, and costs; None for nothing."""
    if not len(search.predicted):
        return None
    frame = predicted(search).reindex(list(archs))
    value, *sides = (plain(frame[column], search.objective.unit) for column in frame.columns[:3])
    return {
        "label": search.objective.label("predicted"),
        "value": value,
        "sides": sides,
        "costs": {
            cost_unit(cost): plain(frame[f"predicted_{cost}"]) for cost in search.front if cost not in frame
        },
    }


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
    if search.front:  # has a part of its own
        return {"limits": limits, "pareto_front": []}
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
        "pareto_header": [
            *(f"{kind} ({unit})" if unit else kind for kind in kinds),
            *search.limits,
            "architecture",
        ],
        "pareto_front": front,
    }


def _bare(value: float | None, unit: str) -> str:
    """The value as `shown` writes it, without the unit: that stands at the head of the table."""
    return shown(value, unit).removesuffix(f" {unit}")


def _cell(
    search: FinishedSearch, row: Mapping[Any, Any], picture: str, costs: pd.DataFrame
) -> tuple[str, str, str]:
    """An architecture, its picture and what is known of it."""
    unit, known = search.objective.unit, costs.reindex([row["arch"]]).iloc[0].dropna()
    facts = [
        f"observed {shown(row[search.objective.column], unit)}",
        *([] if search.test is None else [f"test {shown(row[search.test_column], unit)}"]),
        f"predicted rank {row['predicted_rank']}",
        f"round {row['round']} ({row['reason']})",
        *(f"{value:.3g} {cost_unit(str(name))}" for name, value in known.items()),
    ]
    return row["arch"], picture, ", ".join(facts)


def _values(search: FinishedSearch) -> dict[str, "pd.Series[float]"]:
    """The known values of architectures, by what they are: observed and test ones."""
    kinds = {"observed": search.observed} | ({} if search.test is None else {"test": search.test})
    return {search.objective.label(kind): values for kind, values in kinds.items()}


def _trained(search: FinishedSearch, costs: pd.DataFrame) -> dict[str, Any]:
    """All trainings as a table, the best first."""
    unit, column, sign = search.objective.unit, search.objective.column, search.objective.sign
    rank, counted = search.last_fit.rank(ascending=False, method="min"), "epochs" in search.observations
    rows = search.observations.assign(n=range(1, len(search.observations) + 1))
    rows = rows.iloc[(-sign * rows[column]).argsort(kind="stable")]  # those without a value last
    table = [
        [
            Cell(str(row["n"]), row["n"]),
            *(
                Cell(_bare(value, unit), value)
                for value in (
                    row[column],
                    *([] if search.test is None else [search.test.get(row["arch"], np.nan)]),
                )
            ),
            Cell(number(place, 0), place),
            *(Cell(f"{value:.3g}", value) for value in costs.reindex([row["arch"]]).iloc[0]),
            *([Cell(number(row["epochs"], 0), row["epochs"]), Cell(row["state"])] if counted else []),
            Cell(str(row["round"]), row["round"]),
            Cell(row["reason"]),
            Cell(row["arch"]),
        ]
        for row in rows.to_dict("records")
        for place in [rank.get(row["arch"], np.nan)]
    ]
    heads = ["training", *_values(search), "predicted rank", *(cost_unit(str(name)) for name in costs)]
    heads += ["epochs", "state"] if counted else []
    return {"trained_header": [*heads, "round", "reason", "architecture"], "trained": table}


def _data(
    search: FinishedSearch, costs: pd.DataFrame, pictures: Mapping[str, str], train: str, train_member: str
) -> dict[str, Any]:
    """What the charts show."""
    unit, rank = search.objective.unit, search.last_fit.rank(ascending=False, method="min")
    trained, best = search.trained_or_given, search.best_known
    ranked = rank.reindex([*rank.index, *sorted(set(trained).difference(rank.index))]).sort_values(
        kind="stable"
    )
    step = max(1, -(-2 * (len(ranked) - POINTS // 2) // POINTS))
    kept = (ranked.rank(method="first") <= POINTS // 2) | (np.arange(len(ranked)) % step == 0)
    on_front = [*true_front(search), *best_predicted(search, OF_PREDICTED)] if search.front else []
    ranked = ranked[kept | ranked.index.isin([*trained, best, *on_front])]
    place = {str(arch): number for number, arch in enumerate(ranked.index)}
    values = {name: column.reindex(ranked.index) for name, column in _values(search).items()}
    of_costs = {cost_unit(str(name)): costs[name].reindex(ranked.index) for name in costs}
    rounds = [{name.split("/")[1]: value for name, value in row.items()} for row in round_metrics(search)]
    return {
        "label": search.objective.label("observed"),
        "axis": search.objective.label("").strip(),
        "unit": unit,
        "sign": search.objective.sign,
        "arch": list(place),
        "rank": plain(ranked),
        "values": {name: plain(column, unit) for name, column in values.items()}
        | {name: plain(column) for name, column in of_costs.items()},
        "trained": [
            [place[row["arch"]], *plain([row[search.objective.column]], unit), row["round"], row["reason"]]
            for row in search.observations.to_dict("records")
        ],
        "given": [place[arch] for arch in search.given.get("arch", [])],
        "would": plain(search.values.reindex(search.observations["returned"]), unit),
        "rounds": [plain(row.get(name, 0.0) for row in rounds) for name in ("trained", "ndcg@10", "kendall")],
        "returned": place[search.returned],
        "best": None if search.test is None else place.get(best),
        "best_value": None if search.test is None else float(search.known_test[best]),
        "pictures": {place[arch]: url for arch, url in pictures.items()},
        "train": train,
    } | _front_data(search, list(place), train_member)


def plain(values: Iterable[float], unit: str = "") -> list[float | None]:
    """Values as JSON has them, rounded as `shown` does it: two decimals of percent, else five digits; None for NaN."""
    digits = ".2f" if unit == "%" else ".5g"
    return [float(f"{value:{digits}}") if value == value else None for value in values]


def packed(data: Any) -> str:
    """Data as a page has it: JSON, compressed, in characters that mean nothing in HTML."""
    return base64.b64encode(gzip.compress(json.dumps(data).encode(), mtime=0)).decode()


def picture(figure: Figure) -> str:
    """A picture of an architecture as a URL that holds it: an SVG, in whose ink and ground the colour scheme shows."""
    svg = figure_bytes(figure, "svg").decode()
    if INK not in svg:  # of somebody's own space: who knows what it needs below it
        return f"data:image/png;base64,{base64.b64encode(figure_bytes(figure, 'png')).decode()}"
    svg = re.sub(r"<metadata>.*?</metadata>|<!DOCTYPE.*?>|<\?xml.*?\?>|\n *", "", svg, flags=re.DOTALL)
    svg = (
        svg.replace(INK, "var(--ink)").replace(GROUND, "var(--ground)").replace("<defs>", f"{DARK}<defs>", 1)
    )
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def as_element(file: bytes, told: str = "a figure") -> str:
    """Turns the SVG file of a figure into an element of the page, with lines and text in the page's text colour.

    Args:
        file: the SVG.
        told: what it shows, for those who do not see it.
    """
    svg = file.decode().replace("<svg", f'<svg role="img" aria-label="{escape(told)}"', 1)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    return svg.replace(INK, "currentColor")
