"""The best architectures with their pictures, as a table in W&B."""

import io
from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from pytorch_lightning.loggers import Logger

from acenas.report.live.loggers import SafeWandbLogger


def log_best_architectures(loggers: Sequence[Logger], best: pd.DataFrame, pictures: Sequence[Figure]) -> None:
    """Logs the table `report/best_architectures` to those of `loggers` that are W&B.

    Args:
        loggers: The loggers of the run.
        best: One row per architecture, best first; any plain columns.
        pictures: One picture per row.
    """
    for logger in loggers:
        if isinstance(logger, SafeWandbLogger):
            logger.attempt(lambda logger=logger: _log(logger, best, pictures))  # type: ignore[misc]


def _log(logger: SafeWandbLogger, best: pd.DataFrame, pictures: Sequence[Figure]) -> None:
    import wandb  # slow, and never needed where W&B is disabled
    from PIL import Image

    table = wandb.Table(columns=[*best.columns, "picture"])
    for row, picture in zip(best.itertuples(index=False), pictures, strict=True):
        png = io.BytesIO()
        picture.savefig(png, format="png", dpi=100, bbox_inches="tight")
        table.add_data(*row, wandb.Image(Image.open(png)))
    logger.log_metrics({"report/best_architectures": table})
