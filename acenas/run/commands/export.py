"""The command `python -m acenas.export`: the trained network of a finished run, for others to use."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from acenas.errors import exit_status
from acenas.files import reading
from acenas.report.runs import CONFIG, finished
from acenas.run.networks import open_network, origin_of
from acenas.training.final.export import FILES, Export
from acenas.trust import HELP


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m acenas.export",
        description="Writes TorchScript and ONNX files of a run's trained network, compared with it, and a model card.",
        epilog="The network is that of the run's final training, or else the one that its search trained and returned.",
    )
    parser.add_argument("run", type=Path, metavar="FOLDER", help="of a finished run")
    parser.add_argument("--out", type=Path, help="folder to write into (default: export in the run's folder)")
    parser.add_argument("--formats", nargs="+", choices=FILES, default=list(FILES), help="default: all")
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help=HELP)
    options = parser.parse_args(arguments)
    return exit_status(lambda: _export(options))


def _export(options: argparse.Namespace) -> None:
    export = Export(options.formats)
    cfg, trained = open_network(options.run, trust=options.trust)
    with reading(options.run / CONFIG, "name a run of this version"):
        origin = origin_of(cfg, options.run, finished(options.run) or {}, trained.facts)
    out = options.out or options.run / "export"
    for name, difference in export.run(trained, out, origin).items():
        print(f"{out / FILES[name]}: differs from the network by {difference:.1g} of the largest logit")
    print(f"{out / 'README.md'}: the model card")


if __name__ == "__main__":
    sys.exit(main())
