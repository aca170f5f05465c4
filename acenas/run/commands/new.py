"""The command `python -m acenas.new`: a commented start of a space, a table, an evaluator or an experiment.

What it writes runs as written, with `--config-dir` (or `ACENAS_CONF`) naming the folder.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from acenas.errors import UserError, exit_status
from acenas.files import write_text

STARTS = Path(__file__).parents[1] / "starts"
"""The files, in which `NAME` and `FOLDER` stand for what the user says."""

KINDS = ("space", "table", "evaluator", "experiment")


def write_start(kind: str, name: str, folder: Path) -> list[Path]:
    """Writes the start of a `kind` into `folder`, and its code here; returns the files.

    Raises:
        UserError: where the name is none that Python and files can have, or a file is there already.
    """
    if not name.isidentifier():
        raise UserError(f"the name {name!r} must be letters, digits and underscores")
    files = {folder / kind / f"{name}.yaml": STARTS / f"{kind}.yaml"}
    if (code := STARTS / f"{kind}.py").exists():
        files[Path(f"{name}.py")] = code  # here: Python finds it where the command is given
    data = [folder / f"{name}.csv", folder / f"{name}.parquet"] if kind == "table" else []
    for path in (*files, *data):
        if path.exists():
            raise UserError(f"{path} is there already; choose another name")
    for path, start in files.items():
        text = start.read_text(encoding="utf-8")
        write_text(path, text.replace("NAME", name).replace("FOLDER", folder.as_posix()))
    if data:
        _write_table(*data)
    return [*files, *data]


def _write_table(csv: Path, parquet: Path) -> None:
    """A table of invented trainings of NAS-Bench-201 cells, and the CSV file that it is imported from."""
    import numpy as np
    import pandas as pd
    import torch

    from acenas.spaces import NasBench201
    from acenas.tables.importers.own import import_own

    space = NasBench201()
    archs = list(dict.fromkeys(space.canonical_all(space.sample(300, torch.Generator().manual_seed(0)))))
    quality = np.array([80 + 2 * arch.count("conv_3x3") + arch.count("skip") for arch in archs])
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"arch": archs})
    for column, noise in (("valid", 1.0), ("test", 0.5), ("one_epoch", 4.0)):
        frame[column] = (quality + random.normal(0, noise, len(archs))).round(2)
    frame.to_csv(csv, index=False)
    columns = {
        "arch": "arch",
        "valid": "mine.valid.200",
        "test": "mine.test.200",
        "one_epoch": "weak.one_epoch",
    }
    import_own(csv, parquet, space, columns, "percent")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m acenas.new",
        description="Writes a commented start that runs as written; its first lines say how.",
    )
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("name", help="letters, digits and underscores")
    parser.add_argument(
        "--folder", type=Path, default=Path(), help="for --config-dir (default: the current one)"
    )
    options = parser.parse_args(arguments)
    return exit_status(lambda: _write(options))


def _write(options: argparse.Namespace) -> None:
    files = write_start(options.kind, options.name, options.folder)
    print(f"Written: {', '.join(map(str, files))}")
    lines = files[0].read_text(encoding="utf-8").splitlines()
    print("\n".join(line.removeprefix("#   ") for line in lines if line.startswith("#   ")))


if __name__ == "__main__":
    sys.exit(main())
