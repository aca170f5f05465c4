"""The command `python -m acenas.benchmark`: methods side by side, over tasks, budgets and seeds."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from acenas.errors import UserError, exit_status
from acenas.run.command_line import run_application
from acenas.run.config import conf_dir, search_path
from acenas.run.folder import finish, only_process, remove_if_unused

SETS = {"suite": "tasks", "fronts": "fronts", "epochs": "epochs"}
"""`tasks` that stand for all that are defined in a group of `define`."""


def check(cfg: DictConfig) -> None:
    """Raises `UserError` where the benchmark asks for what is not defined, or for nothing."""
    if isinstance(cfg.tasks, str) and cfg.tasks in SETS:
        cfg.tasks = list(cfg.define[SETS[cfg.tasks]])
    for group in ("methods", "tasks"):
        defined = defined_in(cfg, group)
        if not cfg[group]:
            raise UserError(f"{group} is empty; choose from {', '.join(defined)}")
        for name in cfg[group]:
            if name not in defined:
                raise UserError(
                    f"{group}: {name} is not defined; choose from {', '.join(defined)}, or define it: "
                    f"+define.{group}.{name}='[\"KEY=VALUE\",...]'"
                )
    if cfg.reference not in cfg.methods:
        raise UserError(f"reference={cfg.reference} is none of the methods: {', '.join(cfg.methods)}")
    if not cfg.budgets or min(cfg.budgets) < 2 or cfg.seeds < 1:
        raise UserError(f"budgets={cfg.budgets} must be numbers above 1, and seeds={cfg.seeds} above 0")


def defined_in(cfg: DictConfig, group: str) -> dict[str, Any]:
    """The overrides of each method, or of each task, those for a front or for epochs among them."""
    others = {**cfg.define.fronts, **cfg.define.epochs} if group == "tasks" else {}
    return {**cfg.define[group], **others}


def common_overrides(cfg: DictConfig) -> Sequence[str]:
    """What all runs share."""
    # A run that took over trainings would show less time than it costs.
    where = [f"output_root={cfg.output_root}", "logger.mode=disabled", "take_over=false"]
    return where + ([f"data_dir={cfg.data_dir}"] if cfg.data_dir else [])


def main() -> int:
    """Runs the command; returns its exit status."""
    return run_application(hydra_main, "stopped; the same command goes on", config="benchmark")


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="benchmark")
def hydra_main(cfg: DictConfig) -> None:
    """Runs a benchmark, goes on with it, or shows it."""
    sys.exit(exit_status(lambda: run(cfg, Path(HydraConfig.get().runtime.output_dir))))


def run(cfg: DictConfig, folder: Path) -> int:
    """Runs the benchmark `cfg` in `folder`; returns 1 where a run failed."""
    try:
        check(cfg)
        with only_process(folder):
            return 1 if compare(cfg, folder) else 0
    except UserError:
        remove_if_unused(folder)
        raise


def compare(cfg: DictConfig, folder: Path) -> int:
    """Makes the runs and writes what `acenas.report` does for them; returns how many of them failed."""
    from rich.console import Console  # takes seconds, all of it: after the checks

    from acenas.files import write_text
    from acenas.report.command import write_comparison
    from acenas.report.comparison_page import build_comparison_page
    from acenas.run.benchmark.grid import Benchmark

    console = Console(stderr=True)
    benchmark = Benchmark(
        {name: list(defined_in(cfg, "methods")[name]) for name in cfg.methods},
        {name: list(defined_in(cfg, "tasks")[name]) for name in cfg.tasks},
        list(cfg.budgets),
        range(cfg.first_seed, cfg.first_seed + cfg.seeds),
        [*common_overrides(cfg), *search_path()],
        conf_dir(),
        cfg.define.most,
        cfg.jobs,
        cfg.pages,
    )
    results, failed = benchmark.run(console)
    if len(results):
        write_text(folder / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
        page = build_comparison_page(results, "Benchmark", reference=cfg.reference, relative_to=folder)
        print(write_comparison(folder, results, cfg.reference, page))
    if not failed:
        finish(folder, {"experiment": "benchmark", "methods": list(cfg.methods), "tasks": list(cfg.tasks)})
    for job, reason in failed.items():
        print(f"Failed: {job}\n{reason}", file=sys.stderr)
    print(f"Benchmark folder: {folder}")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
