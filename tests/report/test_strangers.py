"""What strangers write into their runs stays text in pages, tables, figures and cards."""

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from acenas import SearchRun
from acenas.evaluation.objective import Objective
from acenas.files import write_text
from acenas.markup import cell, latex, markdown, one_line
from acenas.report.command import main
from acenas.report.figures import figure_bytes
from acenas.report.live.tables import log_table
from acenas.report.page import SCRIPT as OUR_SCRIPT
from acenas.report.page import as_element, write_report
from acenas.training.final.card import Origin, model_card
from acenas.training.final.network import NetworkFacts
from tests.report.example import finished_search
from tests.report.runs import finished_run

SCRIPT = "<script>alert(1)</script>"
EVIL = f'"><img src=x onerror=alert(1)>{SCRIPT}|`$\\bad$\n# x\n[l](javascript:alert(1))'
FORMULAS = ["=cmd|' /C calc'!A0", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1"]


class Page(HTMLParser):
    """What a browser would make of a page: its scripts, handlers, links and policy."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.handlers: list[str] = []
        self.links: list[str] = []
        self.policy = ""
        self._in_script = False
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._in_script = tag == "script" and "type" not in given  # the data is none that a browser runs
        self.handlers += [name for name in given if name.startswith("on")]
        self.links += [str(value) for name, value in given.items() if name in ("href", "src", "xlink:href")]
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(given["content"])

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False


def check_page(file: Path) -> Page:
    page = Page(file.read_text(encoding="utf-8"))
    assert page.scripts == [OUR_SCRIPT] and not page.handlers
    start = ("data:image/png;base64,", "data:image/svg+xml;base64,", "#", "./", "../")
    assert all(link.startswith(start) for link in page.links), page.links
    assert "default-src 'none'" in page.policy and "script-src 'sha256-" in page.policy
    return page


def test_a_comparison_of_strangers_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, formula in enumerate(FORMULAS):
        folder = finished_run(tmp_path / "runs", number, [formula, f"loss={EVIL}"], scored=True, k=number)
        (folder / "ranking.svg").write_text(f"<svg xmlns='http://www.w3.org/2000/svg'>{SCRIPT}</svg>")
        summary = json.loads((folder / "summary.json").read_text())
        summary |= {"table": EVIL, "dataset": EVIL, "experiment": EVIL}
        (folder / "summary.json").write_text(json.dumps(summary))
    out = tmp_path / "out"
    assert main([str(tmp_path / "runs"), "--out", str(out), "--title", EVIL]) == 0
    check_page(out / "index.html")

    with (out / "comparison.csv").open(newline="") as file:
        cells = [each for row in csv.reader(file) for each in row]
    assert any(each.startswith("'=cmd") for each in cells)
    assert not [each for each in cells if each.startswith(("=", "+", "@", "\t", "\r"))]
    text = (out / "comparison.md").read_text()
    assert "<img" not in text and "<script" not in text and "](java" not in text.replace("\\]", "")
    for block in text.split("\n\n"):
        assert len({line.replace("\\|", "").count("|") for line in block.splitlines()}) == 1, (
            "no cell ends early"
        )
    assert all(
        line.startswith(("%", "\\", " &", "trained &")) or line.endswith("\\\\") or not line
        for line in (out / "comparison.tex").read_text().splitlines()
    ), "no line of LaTeX is a stranger's"
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", "<img src=x onerror=alert(1)>"),
        ("trained", EVIL),
        ("seed", [1]),
        ("table", 5),
        ("curve", EVIL),
    ],
)
def test_a_summary_with_values_of_another_type_is_left_out(key: str, value: object, tmp_path: Path) -> None:
    folder = finished_run(tmp_path / "runs", 0)
    finished_run(tmp_path / "runs", 1)
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({**summary, key: value}))
    assert main([str(tmp_path / "runs"), "--out", str(tmp_path / "out")]) == 0
    page = check_page(tmp_path / "out" / "index.html")
    assert len([link for link in page.links if link.endswith("report.html")]) == 1


def test_links_to_folders_with_odd_names_are_relative(tmp_path: Path) -> None:
    for name in ("javascript:alert(1)", 'a" onclick="alert(1)', "#x", "a b?c%20"):
        finished_run(tmp_path / name, 0)
    assert main([str(tmp_path), "--out", str(tmp_path)]) == 0
    page = check_page(tmp_path / "index.html")
    assert sum(link.endswith("report.html") for link in page.links) == 4


def test_a_runs_own_page(tmp_path: Path) -> None:
    def draw(arch: str) -> Figure:
        figure = Figure()
        figure.add_subplot().set_title("plain")
        return figure

    search = finished_search()
    evil = {
        "experiment": EVIL,
        "table": EVIL,
        "dataset": EVIL,
        "objective": Objective("accuracy", "%$\\bad$<i>"),
    }
    frame = search.observations.copy()
    evil_search = type(search)(
        **{**vars(search), **evil, "observations": frame.assign(reason=EVIL, message=EVIL)}
    )
    write_report(tmp_path, evil_search, draw, configuration=f"a: {EVIL}")
    check_page(tmp_path / "report.html")


def test_a_model_card() -> None:
    facts = NetworkFacts(
        arch=f"a\n```\n{SCRIPT}",
        space=f"`{SCRIPT}`",
        dataset=EVIL,
        num_classes=2,
        image_shape=(1, 8, 8),
        mean=(0.0,),
        std=(1.0,),
        params_m=1.0,
        macs_m=1.0,
        flops_m=1.0,
        training=EVIL,
        seed=0,
        preparation=EVIL,
        classes=(EVIL, "b"),
        damaged={EVIL: EVIL},
    )
    card = model_card(facts, Origin(latency_ms={EVIL: 1.0}), {"network.onnx": 0.1})
    assert card.count("```") == 4, "the architecture and the example"
    prose = re.sub(r"`[^`]*`", "", "".join(card.split("```")[::2]).replace("\\`", ""))
    assert "<script" not in prose and "<img" not in prose and "\n# x" not in card


def test_the_table_of_a_notebook(tmp_path: Path) -> None:
    folder = finished_run(tmp_path, 0, objective={"name": "loss", "unit": SCRIPT, "direction": "min"})
    summary = json.loads((folder / "summary.json").read_text())
    summary |= {"metrics": {"ndcg@10": None}, "experiment": EVIL}
    summary["returned"]["arch"] = EVIL
    (folder / "summary.json").write_text(json.dumps(summary))
    html = SearchRun(folder)._repr_html_()
    assert "<script" not in html and "<img" not in html and "&lt;script" in html


def test_tables_in_wandb_hold_no_formulas(tmp_path: Path) -> None:
    from acenas.report.live import run_loggers

    frame = pd.DataFrame({"arch": FORMULAS, "value": [-1.5] * len(FORMULAS)})
    with run_loggers(tmp_path, mode="offline") as loggers:
        log_table(loggers, "report/best", frame)
    (table,) = tmp_path.rglob("*.table.json")
    data = json.loads(table.read_text())["data"]
    assert [row[0] for row in data] == [f"'{one_line(each)}" for each in FORMULAS] and {
        row[1] for row in data
    } == {-1.5}


def test_names_in_figures_are_no_mathematics() -> None:
    from acenas import Choices
    from acenas.spaces import Graphs

    choices = Choices({"$\\bad{$": ["$\\frac$", "--><script>alert(1)</script>"]})
    graphs = Graphs({"$\\a$": (["$\\in", "--><script>"], [(0, 1)])})
    for space in (choices, graphs):
        svg = as_element(figure_bytes(space.draw(space.enumerate()[-1]), "svg"))
        assert "<script" not in svg


@given(st.text())
def test_any_text_stays_one_cell(text: str) -> None:
    shown = markdown(text)
    assert "\n" not in shown and not set("|[]`") & set(
        shown.replace("\\\\", "").replace("\\|", "").replace("\\[", "").replace("\\]", "").replace("\\`", "")
    )
    assert "\n" not in latex(text)
    assert not str(cell(text)).startswith(("=", "+", "-", "@", "\t", "\r"))


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text()
    | st.sampled_from([EVIL, "\ud800", "$", "_a"]),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(), each, max_size=3),
    max_leaves=5,
)


@pytest.mark.slow
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_run_keeps_another_from_being_compared(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("runs")
    finished_run(root, 1)
    folder = finished_run(root, 0)
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    where = data.draw(
        st.sampled_from([summary, summary["returned"], summary["curve"][0], summary["best_known"]])
    )
    where[data.draw(st.sampled_from(sorted(where)))] = data.draw(anything)
    (folder / "summary.json").write_text(json.dumps(summary))
    overrides = data.draw(st.lists(anything, max_size=3))
    write_text(folder / ".hydra" / "overrides.yaml", yaml.dump(overrides))
    assert main([str(root), "--out", str(root / "out")]) == 0
    check_page(root / "out" / "index.html")
