"""The command `python -m acenas.study`: a study for trainings that run by hand, or in another system.

CSV goes in and out: `ask` writes the trials, one a row, with a column for each choice; `tell` reads rows with `trial`
(its number), `arch` or the choices, and the objective or `failed`, a reason.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from acenas.errors import UserError, exit_status
from acenas.files import read_json, reading, write_text
from acenas.report import runs
from acenas.trust import HELP

if TYPE_CHECKING:
    import pandas as pd

    from acenas.run.study import Study

DESCRIPTION = "space.yaml"
"""In the folder of a study that the command made: its space."""


def open_study(folder: Path, budget: int | None = None, trust: Sequence[str] = ()) -> Study:
    """The study in `folder`, with a larger budget if one is given; `trust` as in `acenas.spaces.described.space_of`.

    Raises:
        UserError: where there is none.
    """
    if not (folder / DESCRIPTION).exists():
        raise UserError(
            f"{folder} holds no study of this command; begin one with python -m acenas.study new {folder}"
        )
    from acenas.run.study import Study
    from acenas.spaces.described import space_of

    space = space_of(runs.config_of(folder, DESCRIPTION), trust)
    return Study(space, budget, folder, seed=_seed(folder))


def _seed(folder: Path) -> int:
    return int(read_json(folder / "study.json", {"seed": int})["seed"])


def _new(options: argparse.Namespace) -> None:
    from acenas.spaces.described import open_space

    opened = open_space(options.space)
    if opened is None:
        raise UserError(
            f"--space {options.space}: give a YAML file, module:object, or a name in the folder space of ACENAS_CONF"
        )
    space, described = opened
    if taken := {"trial", "failed"} & set(space.choice_columns):
        raise UserError(f"a choice is called {taken.pop()}, as a column of the trials is; call it otherwise")
    if (options.folder / DESCRIPTION).exists():
        raise UserError(f"{options.folder} holds a study already; raise its budget with ask --budget")
    from acenas.run.study import Study
    from acenas.search.inputs import frame_of

    study = Study(
        space,
        options.budget,
        options.folder,
        options.seed,
        objective=options.objective,
        weak_labels=options.weak_labels if options.weak_labels is None else frame_of(options.weak_labels),
        given=options.given,
        constraints=dict(_limit(each) for each in options.constraint) or None,
        front={name: way or "min" for name, _, way in (each.partition("=") for each in options.front)}
        or None,
    )
    write_text(options.folder / DESCRIPTION, yaml.dump(described, Dumper=_WithoutReferences, sort_keys=False))
    trust = f" --trust {options.space.partition(':')[0]}" if "object" in described else ""
    print(
        f"A study of {study.budget} trainings in {options.folder}; ask it with "
        f"python -m acenas.study ask {options.folder}{trust}"
    )


class _WithoutReferences(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _limit(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise UserError(f"--constraint {text}: give a cost and its limit, as in params_m=2.5") from None


def _ask(options: argparse.Namespace) -> None:
    import pandas as pd

    from acenas.spaces.choices.layout import flat

    study = open_study(options.folder, options.budget, options.trust)
    trials = study.pending if options.pending else study.ask(options.count)
    rows = [
        {
            "trial": trial.number,
            **flat(trial.choices),
            "arch": trial.arch,
            study.objective.name: "",
            **dict.fromkeys(study.costs.observed, ""),
            "failed": "",
        }
        for trial in trials
    ]
    columns = list(dict.fromkeys(name for row in rows for name in row)) or [
        "trial",
        "arch",
        study.objective.name,
        "failed",
    ]
    pd.DataFrame(rows, columns=columns).to_csv(sys.stdout, index=False)
    if not trials:
        print(
            f"nothing to ask: {study.so_far} trainings are told, "
            f"{len(study.pending)} pending (ask --pending shows them, ask --budget raises the budget)",
            file=sys.stderr,
        )


def _tell(options: argparse.Namespace) -> None:
    from acenas.evaluation.objective import as_number
    from acenas.search import Trial

    study, frame = open_study(options.folder, trust=options.trust), _read(options.file)
    name, told, empty, problems = study.objective.name, 0, 0, []
    if not {name, "failed"} & set(frame.columns) or not {"trial", "arch", *study.space.choice_columns} & set(
        frame.columns
    ):
        raise UserError(
            f"{options.file}: it needs a column trial or arch, and {name} or failed; there are "
            f"{', '.join(map(str, frame.columns))}"
        )
    for number, cells in enumerate(frame.to_dict("records"), start=1):
        row = {key: value for key, value in cells.items() if str(value).strip()}
        try:
            which: Any = row.get(
                "arch", cells
            )  # an architecture, or choices: of an empty one the value may be None
            if "trial" in row:
                trial = int(as_number(row["trial"], "trial"))
                which = Trial(trial, row["arch"]) if "arch" in row else trial
            if "failed" in row:
                study.fail(which, row["failed"])
            elif name in row:
                study.tell(
                    which, row[name], costs={cost: row[cost] for cost in study.costs.observed if cost in row}
                )
            else:
                empty += 1
                continue
            told += 1
        except (UserError, ValueError) as error:
            problems.append(f"row {number}: {error}")
    print(f"{told} told" + (f", {empty} rows without a result left out" if empty else ""))
    if problems:
        raise UserError("; ".join(problems) + ". The other rows are told")


def _read(file: str) -> pd.DataFrame:
    """Rows of a CSV file, or of the standard input; all as text, so that an empty cell is no NaN."""
    import pandas as pd

    given = "the standard input" if file == "-" else file
    with reading(given, "name a CSV file with a header"):
        rows = pd.read_csv(sys.stdin if file == "-" else file, header=None, dtype=str, keep_default_na=False)
    names = rows.iloc[0].tolist()
    if doubled := [name for name in names if names.count(name) > 1]:
        raise UserError(f"{given} has two columns {doubled[0]}; rename one")
    return rows.iloc[1:].set_axis(names, axis=1).reset_index(drop=True)


def _fail(options: argparse.Namespace) -> None:
    trial = int(options.trial) if options.trial.isdigit() else options.trial
    open_study(options.folder, trust=options.trust).fail(trial, options.reason)


def _give(options: argparse.Namespace) -> None:
    from acenas.search.inputs import frame_of

    study = open_study(options.folder, trust=options.trust)
    study.give(frame_of(options.file))
    print(f"{len(study.state.given)} given in all")


def _show(options: argparse.Namespace) -> None:
    study = open_study(options.folder, trust=options.trust)
    told, best = study.observations, study.returned
    failed = int((told["state"] == "failed").sum())
    print(
        f"{study.so_far} trainings told, {failed} of them failed, {len(study.pending)} pending, "
        f"{len(study.state.given)} given"
    )
    if best is not None:
        print(f"returned: {best.arch}: {study.objective.name} {study.objective.show(best.value)}")
        print(study.ranking().head(options.top).to_string())


def _report(options: argparse.Namespace) -> None:
    print(open_study(options.folder, trust=options.trust).report())
    print(f"Report: {options.folder / 'report.html'}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m acenas.study",
        description="Asks what to train next, and is told what the trainings showed, in a folder. CSV in and out.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        added.add_argument("folder", type=Path, help="of the study")
        added.add_argument("--trust", action="append", default=[], metavar="MODULE", help=HELP)
        return added

    new = command("new", _new, "begin a study")
    new.add_argument(
        "--space", required=True, help="a YAML file with choices, module:object, or a name in ACENAS_CONF"
    )
    new.add_argument("--budget", type=int, help="trainings in all (default: 50)")
    new.add_argument(
        "--objective", default="accuracy", help="such as 'min perplexity' (default: accuracy, percent)"
    )
    new.add_argument("--seed", type=int, default=0)
    new.add_argument("--given", metavar="FILE", help="CSV or Parquet of what was trained elsewhere")
    new.add_argument(
        "--weak-labels", metavar="FILE", help="CSV or Parquet of cheap scores, with arch or choices"
    )
    new.add_argument(
        "--constraint", action="append", default=[], metavar="COST=LIMIT", help="such as params_m=2.5"
    )
    new.add_argument(
        "--front", action="append", default=[], metavar="COST", help="such as params_m, or throughput=max"
    )
    ask = command("ask", _ask, "write what to train next")
    ask.add_argument("--count", type=int, help="trials at most (default: the rest of the round)")
    ask.add_argument("--budget", type=int, help="raise the budget")
    ask.add_argument("--pending", action="store_true", help="what was asked and is not told yet, again")
    tell = command("tell", _tell, "read what trainings showed")
    tell.add_argument(
        "file", nargs="?", default="-", help="CSV: trial or arch, the objective, failed (a reason)"
    )
    fail = command("fail", _fail, "note that a training failed")
    fail.add_argument("trial", help="its number or architecture")
    fail.add_argument("reason", nargs="?", default="no reason")
    give = command("give", _give, "read what was trained elsewhere; it costs no budget")
    give.add_argument("file", help="CSV or Parquet: arch or the choices, and the objective")
    show = command("show", _show, "how far it is, and the ranking")
    show.add_argument("--top", type=int, default=10, help="architectures shown (default: 10)")
    command("report", _report, "write report.html into the folder")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = _parser().parse_args(arguments)
    atexit.register(gc.freeze)  # to look for garbage when all ends takes a second
    with warnings.catch_warnings():
        warnings.showwarning = _warn
        stopped = "stopped; nothing is lost, and the same command can be given again"
        return exit_status(lambda: options.run(options), stopped)


def _warn(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    if category is UserWarning:
        print(f"acenas: warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
