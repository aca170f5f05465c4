"""A browser, for the slow tests that click through pages."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: .[browser]")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs a Chromium in the PATH")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


class Opened:
    """A page in a browser; at the end no script of it has failed."""

    def __init__(self, browser: Any, file: Path, **options: Any) -> None:
        given = {"viewport": {"width": 1200, "height": 900}, "permissions": ["clipboard-read"]}
        self.page = browser.new_context(**given | options).new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.extend([said.text] if said.type == "error" else []))
        self.page.goto(file.as_uri())
        if options.get("java_script_enabled", True):
            self.page.wait_for_selector("html[data-ready]")

    def __enter__(self) -> Any:
        return self.page

    def __exit__(self, *error: object) -> None:
        self.page.context.close()
        assert self.errors == []


def seconds_to_load(browser: Any, file: Path) -> float:
    """Seconds of a core until a page is there: unlike those of a clock, whatever else the machine does."""
    with Opened(browser, file) as page:
        page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        metrics = session.send("Performance.getMetrics")["metrics"]
        return float(next(one["value"] for one in metrics if one["name"] == "ProcessTime"))


def violations(page: Any) -> list[tuple[str, list[str]]]:
    """What axe-core finds that hinders people, and where."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe: .[browser]").Axe()
    found = axe.run(page).response
    assert len(found["testEngine"]) and found["url"] == page.url
    return [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found["violations"]]
