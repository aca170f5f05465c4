"""What a report leaves in W&B beside metrics: tables with pictures of architectures, the summary, the page."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pytorch_lightning.loggers import Logger

from acenas.markup import cell
from acenas.report.live.loggers import SafeWandbLogger


def log_table(
    loggers: Sequence[Logger], name: str, frame: pd.DataFrame, pictures: Sequence[bytes] = ()
) -> None:
    """Logs a table to those of `loggers` that are W&B.

    Args:
        loggers: of the run.
        name: of the table, such as `report/best_architectures`.
        frame: of any plain columns.
        pictures: a PNG file for each row, for a column `picture`; empty for none.
    """
    for logger in loggers:
        if isinstance(logger, SafeWandbLogger):
            logger.attempt(lambda logger=logger: _log(logger, name, frame, pictures))  # type: ignore[misc]


def _log(logger: SafeWandbLogger, name: str, frame: pd.DataFrame, pictures: Sequence[bytes]) -> None:
    import wandb  # slow, and never needed where W&B is disabled

    table = wandb.Table(dataframe=frame.map(cell))
    if pictures:
        table.add_column("picture", list(map(_image, pictures)))
    logger.log_metrics({name: table})


def log_result(
    loggers: Sequence[Logger], summary: Mapping[str, Any], page: Path, picture: bytes | None = None
) -> None:
    """Logs what a search found to those of `loggers` that are W&B: as values of the run's summary, and as its page.

    Values are named as in `summary.json`, as `report/ndcg@10`; `report/returned` is the architecture, and
    `report/test_regret` by how much the best known one tests better.

    Args:
        loggers: of the run.
        summary: the content of `summary.json`.
        page: `report.html`; left out where there is none.
        picture: of the returned architecture, a PNG file.
    """
    returned = dict(summary["returned"])
    found = {"returned": returned.pop("arch"), **returned.pop("costs", {}), **returned, **summary["metrics"]}
    found |= {name: summary[name] for name in ("trained", "failed", "given")} | {
        "test_regret": summary["regret"]
    }
    if epochs := summary.get("epochs"):
        found |= {"epochs": epochs["paid"], "stopped": epochs["stopped"]}
    front = summary.get("front", {})
    measures = ("hypervolume", "hypervolume_share", "igd_plus", "found")
    found |= {f"front_{name}": front[name] for name in measures if name in front}
    values = {f"report/{name}": value for name, value in found.items() if value is not None}
    for logger in loggers:
        if isinstance(logger, SafeWandbLogger):
            logger.attempt(lambda logger=logger: _log_result(logger, values, page, picture))  # type: ignore[misc]


def _log_result(
    logger: SafeWandbLogger, values: Mapping[str, Any], page: Path, picture: bytes | None
) -> None:
    import wandb  # slow, and never needed where W&B is disabled

    shown: dict[str, Any] = {"report/page": wandb.Html(page, inject=False)} if page.exists() else {}
    if picture is not None:
        shown["report/returned_picture"] = _image(picture)
    logger.log_metrics(shown)
    logger.experiment.summary.update(dict(values))


def _image(png: bytes) -> Any:
    import wandb
    from PIL import Image

    return wandb.Image(Image.open(io.BytesIO(png)))
