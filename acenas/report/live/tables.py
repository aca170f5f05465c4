"""Data frames as tables in W&B, with pictures of architectures."""

import io
from collections.abc import Sequence

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
    from PIL import Image

    table = wandb.Table(dataframe=frame.map(cell))
    if pictures:
        table.add_column("picture", [wandb.Image(Image.open(io.BytesIO(png))) for png in pictures])
    logger.log_metrics({name: table})
