"""Makes the pictures of README and docs, and the sample page: `make pictures`.

Figures are drawn from the tables of `benchmarks/methods.md`; pages are those of runs in `outputs/pictures`, which the
same command goes on with. All are as wide as a phone, so that their words can be read there. Needs a Chromium in the
PATH.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from acenas.report.curves import looks
from acenas.report.figures import BLUE, GREY, STYLE, label_ends, save_figure

DOCS = Path(__file__).parent
METHODS = DOCS.parent / "benchmarks" / "methods.md"
RUNS = Path("outputs/pictures")
TASKS = {"nb201_cifar10": "CIFAR-10", "nb201_cifar100": "CIFAR-100"}
NAMES = {
    "ace": "acenas", "random_forest": "random forest", "lightgbm": "LightGBM",
    "gp": "Gaussian process", "bananas": "BANANAS", "evolution": "evolution", "random": "random search",
}  # fmt: skip
PHONE, TALL = 400, 1000
"""Width and height of what is seen of a page, in pixels."""


def table(task: str, title: str) -> dict[str, dict[int, str]]:
    """The cells of a measured table of `methods.md`, by method and number of trainings."""
    part = METHODS.read_text(encoding="utf-8").split(f"### {task}\n")[1]
    lines = part[part.index(f"| {title}") :].split("\n\n")[0].splitlines()
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return {row[0]: dict(zip(map(int, head[1:]), row[1:], strict=True)) for row in rows}


def trainings() -> Figure:
    """What others must train for the accuracy that acenas has after 20 trainings."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4, 3.6), layout="constrained")
        for axes, (task, name) in zip(figure.subplots(2, 1, sharex=True), TASKS.items(), strict=True):
            found = {"ace": "20", **{m: row[20] for m, row in table(task, "Trainings needed").items()}}
            for place, method in enumerate(found):
                count = int(re.findall(r"\d+", found[method])[0])
                never = found[method].startswith(">")
                axes.barh(place, count, color=BLUE if method == "ace" else GREY, alpha=0.4 if never else 1)
                axes.text(count + 1, place, f"over {count}" if never else str(count), va="center")
            axes.set_yticks(range(len(found)), [NAMES[method] for method in found])
            axes.invert_yaxis()
            axes.grid(False)
            accuracy = table(task, "Test accuracy")["ace"][20].split()[0]
            axes.set(title=f"{name}: trainings for {accuracy} %", xlim=(0, 125), xticks=[])
            axes.spines[:].set_visible(False)
        return figure


def accuracies() -> Figure:
    """Test accuracy of the returned architecture against trainings."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4, 6), layout="constrained")
        for axes, (task, name) in zip(figure.subplots(2, 1, sharex=True), TASKS.items(), strict=True):
            ends = {}
            for method, look in looks(list(NAMES)).items():
                row = table(task, "Test accuracy")[method]
                means, errors = zip(*(map(float, cell.split(" ± ")) for cell in row.values()), strict=True)
                axes.errorbar(list(row), means, errors, **look, capsize=2, markersize=4)
                ends[NAMES[method]] = means[-1], look["color"]
            label_ends(axes, ends)
            axes.set(title=f"{name}: test accuracy (%)", xticks=[20, 30, 50, 100])
        axes.set_xlabel("architectures trained")
        return figure


def run(*command: str) -> None:
    """Runs acenas, or goes on with what it has begun."""
    subprocess.run([sys.executable, "-m", *command], check=True)


def photograph(page: Path, heading: str, picture: Path) -> None:
    """Takes a picture of a page as a phone shows it, from a heading on."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": PHONE, "height": TALL}, device_scale_factor=2)
        opened.goto(page.resolve().as_uri())
        opened.wait_for_selector("html[data-ready]")
        opened.locator("h2", has_text=heading).first.evaluate(
            "heading => scrollTo(0, heading.offsetTop - 16)"
        )
        opened.wait_for_timeout(300)
        opened.screenshot(path=picture)
        browser.close()


def main() -> None:
    """Makes all of them."""
    save_figure(trainings(), DOCS / "trainings.png")
    save_figure(accuracies(), DOCS / "benchmark.png")
    main_job, sweep = RUNS / "main", RUNS / "sweep"
    run("acenas", "experiment=nb201_ltr", f"output_root={main_job}", "logger.mode=disabled")
    (page,) = main_job.glob("*/*/report.html")
    here = f"{DOCS.parent.resolve()}/"  # is nobody else's
    (DOCS / "sample.html").write_text(page.read_text(encoding="utf-8").replace(here, ""), encoding="utf-8")
    photograph(page, "The search", DOCS / "report.png")
    front = RUNS / "front"
    asked = ["search.front=[params_m]", "search.budget=30"]
    run("acenas", "experiment=nb201_ltr", *asked, f"output_root={front}", "logger.mode=disabled")
    (page,) = front.glob("*/*/report.html")
    photograph(page, "Accuracy against cost", DOCS / "front.png")
    grid = ["ranker=ace,random_forest,weak_label", "seed=range(3)", "search.budget=30"]
    run("acenas", "-m", "experiment=nb201_ltr", *grid, f"output_root={sweep}", "logger.mode=disabled")
    run("acenas.report", str(sweep), "--out", str(RUNS / "comparison"))
    photograph(RUNS / "comparison" / "index.html", "nb201_digits", DOCS / "comparison.png")


if __name__ == "__main__":
    main()
