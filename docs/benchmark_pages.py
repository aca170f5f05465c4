"""A hook of mkdocs: `benchmarks/*.md` are pages of the site, and links to them work there and in a clone."""

from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Adds the pages."""
    for path in sorted(BENCHMARKS.glob("*.md")):
        files.append(File.generated(config, f"benchmarks/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Turns the links of a clone into those of the site, where the pages lie one level higher."""
    return markdown.replace("](../benchmarks/", "](benchmarks/").replace(
        "](../../benchmarks/", "](../benchmarks/"
    )
