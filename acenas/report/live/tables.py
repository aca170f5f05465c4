"""Data frames as tables in W&B, with pictures of architectures."""

import io
from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from pytorch_lightning.loggers import Logger

from acenas.report.live.loggers import SafeWandbLogger


def log_table(
    loggers: Sequence[Logger], name: str, frame: pd.DataFrame, pictures: Sequence[Figure] = ()
) -> None:
    """Logs a table to those of `loggers` that are W&B.

    Args:
        loggers: of the run.
        name: of the table, such as `report/best_architectures`.
        frame: of any plain columns.
        pictures: one for each row, for a column `picture`; empty for none.
    """
    for logger in loggers:
        if isinstance(logger, SafeWandbLogger):
            logger.attempt(lambda logger=logger: _log(logger, name, frame, pictures))  # type: ignore[misc]


def _log(logger: SafeWandbLogger, name: str, frame: pd.DataFrame, pictures: Sequence[Figure]) -> None:
    import wandb  # slow, and never needed where W&B is disabled
    from PIL import Image

    table = wandb.Table(dataframe=frame)
    if pictures:
        images = []
        for picture in pictures:
            png = io.BytesIO()
            picture.savefig(png, format="png", dpi=100, bbox_inches="tight")
            images.append(wandb.Image(Image.open(png)))
        table.add_column("picture", images)
    logger.log_metrics({name: table})
