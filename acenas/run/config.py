"""The configuration of a run: how it is composed, checked before anything heavy is imported, and made into objects."""

import hashlib
import inspect
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import hydra.utils
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import InstantiationException
from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from acenas.errors import UserError, near
from acenas.evaluation.objective import Direction, Objective, directions_of
from acenas.report import runs
from acenas.search.budget import check_budget
from acenas.tables import check_table, find_table, parse_column
from acenas.tables.schema import Accuracy, Other
from acenas.tables.table import read_footer
from acenas.trust import import_name

NO_EXPERIMENT = "the experiment has no name; set 'experiment: NAME' in its file in conf/experiment"

NOT_IN_THE_HASH = ("hydra", "output_root", "fresh", "take_over")
"""Where a run lies and how it was started is not what it is."""

OF_THE_RUN = {
    "evaluator": ("attempts", "on_failure", "objective"),
    "search": ("given", "given_columns", "constraints", "front", "missing_costs", "budget_epochs"),
}
"""Keys of two groups that are read by the run itself; the class that the group names may take them, too."""

TAKEN_UP = ("executor", "attempts", "on_failure")
"""Keys of `evaluator` that say how trainings are run, not what comes out: with others a run goes on."""

FILES = ("weak_labels_file", "latency_file", "search.given")
TEXTS = ("arch", "from_run", "data_dir", "output_root", *FILES)
"""Keys whose values are texts or null, whatever they look like."""

_TABLE = ("table.name", "table.path", "table.space", "table.dataset", "table.observed", "table.test")
_OBJECTIVE = [f"{group}.objective" for group in ("table", "evaluator")]
_NUMBERS = ("seed", "search.per_round", "search.num_final", "search.growth")

KINDS: dict[str, tuple[Any, str]] = {
    **dict.fromkeys(TEXTS, (str | None, "a text, as in quotes")),
    **dict.fromkeys(
        [f"{key}.{name}" for key in _OBJECTIVE for name in ("name", "unit", "direction")],
        (str | None, "a name"),
    ),
    **dict.fromkeys(
        [*_OBJECTIVE, "search.given_columns", "table.short_trainings"],
        (dict | None, "a mapping"),
    ),
    **dict.fromkeys(_TABLE, (str, "a name")),
    **dict.fromkeys(_NUMBERS, (int | float, "a number")),
    "table.protocols": (dict, "a mapping"),
    "weak_labels": (str | list | None, "a name or a list of names"),
    "weak_labels.N": (str, "a name"),
    "weak_labels_from": (list | None, "a list of folders, as in [FOLDER]"),
    "weak_labels_from.N": (str, "a folder"),
    "table.weak_labels.N": (str, "a name"),
    **dict.fromkeys(("search.budget", "search.budget_epochs"), (int | float | None, "a number")),
    "weak_label_samples": (int, "a whole number"),
    "search_member": (int | None, "a whole number"),
    "evaluator.attempts": (int, "a whole number"),
}
"""What the values of keys are that the run reads itself, where the classes that are chosen do not check them."""

RANGES: dict[str, tuple[float, float | None]] = {
    **dict.fromkeys(("best", "colour", "dropout", "label_smoothing", "spread"), (0, 1)),
    **dict.fromkeys(
        ("batch_size", "device_batch", "epochs", "head_channels", "passes", "truncation_level"), (1, None)
    ),
    "list_size": (2, None),
}
"""The least and the largest value of arguments of this package's classes, which say the same once torch is there."""

EXAMPLE = {
    "table": "nb201_digits",
    "images": "digits",
    "recipe": "digits",
    "sampler": "uniform",
    "scoring": "batch",
}
"""Groups that are empty unless another one needs them, and what a user can choose there."""

COUNTED_COSTS = ("params_m", "macs_m", "flops_m")
"""Costs of an architecture that can be counted, in millions; see `acenas.spaces.cost.Cost`."""

AUTO = "auto"
"""`weak_labels` of a run without a table: those of its super-net, and what can be counted on networks."""
JUDGE_OF_TRAININGS = "acenas.evaluation.from_scratch.TrainingJudge"

TABLE_EVALUATOR = "acenas.evaluation.TableEvaluator"


def conf_dir() -> str:
    """The folder of the configs: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "conf"
    return str(installed if installed.is_dir() else package.parent / "conf")


@contextmanager
def composing(folder: str | None = None) -> Iterator[None]:
    """In the block Hydra composes the configs of `folder`, by default this package's, apart from its application."""
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(folder or conf_dir(), version_base="1.3"):
            yield
    finally:
        if outer is not None:
            GlobalHydra.instance().initialize(outer)


def search_path() -> list[str]:
    """The override that makes runs find the user's own configs: those of `--config-dir` and `hydra.searchpath`."""
    sources = HydraConfig.get().runtime.config_sources if HydraConfig.initialized() else []
    own = [
        f"{source.schema}://{source.path}"
        for source in sources
        if source.provider == "command-line" or source.provider.startswith("hydra.searchpath")
    ]
    return [f"hydra.searchpath={json.dumps(own)}"] if own else []


def run_folder(cfg: DictConfig) -> Path:
    """Where the command runs `cfg`: `output_root/experiment/hash`."""
    return Path(cfg.output_root) / str(cfg.experiment) / run_hash(cfg)


def instantiate(config: DictConfig, *arguments: Any, **named: Any) -> Any:
    """Hydra's `instantiate`, with a `UserError` for whatever a class of this package raises.

    Other classes raise Hydra's `InstantiationException`, with all that their authors need to know.
    """
    try:
        return hydra.utils.instantiate(config, *arguments, **named)
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        reason = " ".join(str(error).split())
        if error.__cause__ is None or "Error in call to target 'acenas." in reason:
            raise UserError(reason) from error
        raise


def instantiate_in(config: DictConfig, folder: Path) -> Any:
    """As `instantiate`; what needs a folder to keep its work in (`_partial_: true`) is given `folder`."""
    made = instantiate(config)
    return made(folder=folder) if isinstance(made, partial) else made


def choice_of(cfg: DictConfig, group: str) -> DictConfig:
    """The choice of `group` (`evaluator` or `search`) as its class takes it, without the keys of the run alone."""
    choice: DictConfig = cfg[group].copy()
    OmegaConf.set_struct(choice, False)
    taken = inspect.signature(import_name(choice._target_)).parameters
    for key in OF_THE_RUN[group]:
        if key not in taken:
            choice.pop(key, None)
    return choice


def objective_of(cfg: DictConfig) -> Objective:
    """What trainings show: `evaluator.objective`, else `table.objective`, else accuracy in percent."""
    given: dict[str, Any] = {}
    for group in ("table", "evaluator"):
        objective = OmegaConf.select(cfg, f"{group}.objective") or {}
        given |= {str(key): value for key, value in objective.items() if value is not None}
    if unknown := given.keys() - {"name", "unit", "direction"}:
        raise UserError(
            f"objective: there is no {', '.join(unknown)}; it has name, unit and direction (max or min)"
        )
    return Objective(**({"unit": ""} if given.get("name", "accuracy") != "accuracy" else {}) | given)


def trains_architectures(cfg: DictConfig) -> bool:
    """Whether the evaluator trains architectures itself, by a recipe, and so leaves networks behind."""
    return "recipe" in (cfg.get("evaluator") or {})


def run_hash(cfg: DictConfig, without: Sequence[str] = ()) -> str:
    """Ten hexadecimal digits of the resolved config, whatever the keys `without`: equal configs, equal run folders."""
    text = json.dumps(_what_it_is(cfg, without), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def config_in(folder: Path) -> DictConfig:
    """The configuration that the run in `folder` has written: values alone, of which none stands for another.

    Raises:
        UserError: As `acenas.report.runs.config_of`.
    """
    config = OmegaConf.create(_as_text(runs.config_of(folder)))
    assert isinstance(config, DictConfig)
    return config


def _as_text(content: Any) -> Any:
    """`content` with what OmegaConf would resolve written so that it stays as it is."""
    if isinstance(content, dict):
        return {key: _as_text(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_as_text(value) for value in content]
    return content.replace("${", "\\${") if isinstance(content, str) else content


def other_run(cfg: DictConfig, folder: Path) -> str:
    """What sets the run that `folder` holds apart from `cfg`, in words; empty for nothing, as where it holds none."""
    if folder.name == run_hash(cfg) or not (folder / runs.CONFIG).exists():
        return ""
    ours, theirs = (dict(runs.flat(_what_it_is(each))) for each in (cfg, config_in(folder)))
    keys = [key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]
    completed = ours.get("weak_labels") == AUTO or ours.get("weak_labels_from")
    if completed and "weak_labels" in keys:  # a run writes what these were
        keys.remove("weak_labels")
    words = ", ".join(f"{key}: {theirs.get(key)}, not {ours.get(key)}" for key in keys[:8])
    more = f" and {len(keys) - 8} more" if len(keys) > 8 else ""
    return f"holds a run of another configuration ({words}{more})" if keys else ""


def _what_it_is(cfg: DictConfig, without: Sequence[str] = ()) -> Any:
    """The content of `cfg` that says what a run is, resolved."""
    part = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key not in NOT_IN_THE_HASH])
    for key in without:
        OmegaConf.update(part, key, None)  # not removed: others refer to it
    try:
        content = OmegaConf.to_container(part, resolve=True)
    except OmegaConfBaseException:  # check_config will say what is wrong with it
        content = OmegaConf.to_container(part, resolve=False)
    if isinstance(content, dict) and content.get("evaluator"):
        for key in TAKEN_UP:
            content["evaluator"].pop(key, None)
    return content


# Here, since the processes that a launcher starts import this file, and may run the command from another one.
OmegaConf.register_new_resolver("run_hash", lambda *, _root_: run_hash(_root_), replace=True)
OmegaConf.register_new_resolver("sqlite", lambda path: _sqlite(path), replace=True)


def _sqlite(path: str) -> str:
    """The URL of a database in a file, whatever signs are in its name."""
    from sqlalchemy.engine import URL  # of an extra

    return URL.create("sqlite", database=path).render_as_string()


def weak_label_names(cfg: DictConfig) -> list[str]:
    """The columns to pretrain on; none where `weak_labels` is empty or null, or still `AUTO`."""
    names = cfg.weak_labels
    if not names or names == AUTO:
        return []
    return [names] if isinstance(names, str) else list(names)


def weak_label_columns(cfg: DictConfig) -> dict[str, str]:
    """For each weak label the column of the table that holds it.

    It is what `table.short_trainings` says, `<dataset>.params_m` for `params_m` where the table has only that, or else
    the column of that name.
    """
    short = (cfg.table or {}).get("short_trainings") or {}
    columns = {name: short.get(name, name) for name in weak_label_names(cfg)}
    if cfg.table and columns.keys() & set(COUNTED_COSTS):
        there = read_footer(find_table(cfg.table.path, cfg.data_dir), cfg.table.space).columns
        for name in columns.keys() & set(COUNTED_COSTS):
            if name not in there and f"{cfg.table.dataset}.{name}" in there:
                columns[name] = f"{cfg.table.dataset}.{name}"
    return columns


def flat_constraints(given: Mapping[str, Any] | Any) -> dict[str, float]:
    """`search.constraints`: limits by the name of the cost.

    A device may be a level of its own: `{latency_ms: {pixel3: 15}}` and `{latency_ms.pixel3: 15}` are the same.

    Raises:
        UserError: for a limit that is not a number above 0.
    """
    if not isinstance(given, Mapping):
        raise UserError(
            f"search.constraints={given} is not a mapping, as in search.constraints={{params_m: 1.0}}"
        )
    found = _flat_costs(given)
    for name, limit in found.items():
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit > 0:
            raise UserError(f"search.constraints: {name} must be a number above 0, not {limit}")
    return found


def flat_front(given: Any) -> dict[str, Direction]:
    """`search.front`: a direction by the name of each cost; levels as in `flat_constraints`. Raises `UserError`."""
    return directions_of(_flat_costs(given) if isinstance(given, Mapping) else given)


def _flat_costs(given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in given.items():
        inner = value if isinstance(value, Mapping) else {}
        found |= {f"{key}.{device}": each for device, each in inner.items()} or {str(key): value}
    return found


def costs_in(cfg: DictConfig) -> dict[str, str]:
    """The costs of the constraints and the front, with the key that names each. Raises `UserError` as these do."""
    search = cfg.search or {}
    front = dict.fromkeys(flat_front(search.get("front") or ()), "search.front")
    return front | dict.fromkeys(flat_constraints(search.get("constraints") or {}), "search.constraints")


def cost_column(cfg: DictConfig, name: str, columns: Collection[str]) -> str | None:
    """The column of the table that holds a cost: of its data set, of that of what is observed, or of that whole name.

    None where there is none, or where it holds what a training shows.
    """
    sets = dict.fromkeys([cfg.table.dataset, str(cfg.table.observed).split(".")[0]])
    names = [*(f"{each}.{name}" for each in sets), name, f"weak.{name}"]
    return next((each for each in names if each in columns and _may_cost(cfg, each)), None)


def _may_cost(cfg: DictConfig, column: str) -> bool:
    shown = isinstance(parse_column(column), Accuracy) or column in (cfg.table.observed, cfg.table.test)
    return not shown and column != "arch"


def unknown_cost(cfg: DictConfig, name: str, columns: Collection[str]) -> UserError:
    """The error that nothing tells a cost; `columns` are those of the table, where there is one."""
    known: list[str] = [*COUNTED_COSTS] if cfg.images else []
    for column in columns:
        if _may_cost(cfg, column):
            first, _, rest = column.partition(".")
            of_set = first in (cfg.table.dataset, str(cfg.table.observed).split(".")[0])
            known.append(rest if of_set and rest else column)
    plain = [each for each in known if not each.startswith("weak.")]
    return UserError(
        f"{costs_in(cfg)[name]}: nothing here tells {name}{near(name, known)}; "
        + (f"the table has {', '.join(plain)}" if columns else "the run has no table with costs")
        + "; latencies can be measured with python -m acenas.latency and given as latency_file=FILE, and what can "
        "be counted needs images=..."
    )


def check_overrides(
    cfg: DictConfig, overrides: Sequence[str], groups: Mapping[str, Any], name: str | None
) -> None:
    """Raises `UserError` where an override gives a value of another type than the one that it replaces.

    Args:
        cfg: Composed with them.
        overrides: As on the command line.
        groups: The choice of each config group, by the name of the group.
        name: Of the primary config.
    """
    given = OverridesParser.create().parse_overrides(list(overrides))
    choices = [str(o.input_line) for o in given if o.key_or_group in groups]
    values = [o.key_or_group for o in given if o.key_or_group not in groups and not o.is_add()]
    if values:
        check_types(cfg, compose(name, choices), values)


def check_types(cfg: DictConfig, defaults: DictConfig, keys: Sequence[str]) -> None:
    """Raises `UserError` where one of `keys` was given a value of another type, or sign, than its default has."""
    for key in keys:
        if key == "weak_labels":  # a name, a list or nothing
            continue
        default = OmegaConf.select(defaults, key, default=None, throw_on_resolution_failure=False)
        value = OmegaConf.select(cfg, key, default=None)
        if default is None or value is None:
            continue
        numbers = (int, float) if isinstance(default, float) else (int,)
        expected, fits = {
            bool: ("true or false", isinstance(value, bool)),
            int: ("a whole number", isinstance(value, int) and not isinstance(value, bool)),
            float: ("a number", isinstance(value, numbers) and not isinstance(value, bool)),
            str: ("a name", isinstance(value, str)),
            ListConfig: (f"a list, as in '{key}=[a,b]'", isinstance(value, ListConfig)),
            DictConfig: ("a mapping", isinstance(value, DictConfig)),
        }.get(type(default), ("", True))
        if not fits:
            if isinstance(default, DictConfig):
                raise UserError(
                    f"{key}={value} is not {expected}; choose one with {key.replace('.', '/')}={value}"
                )
            raise UserError(f"{key}={value} is not {expected}; the default is {key}={default}")
        if expected in ("a whole number", "a number") and value < 0 <= default:
            raise UserError(f"{key}={value} is below zero; the default is {key}={default}")


def check_config(cfg: DictConfig) -> None:
    """Raises `UserError` where the config cannot run: what is missing, and what to do about it.

    Writes `search.constraints` and `search.front` into `cfg` as `flat_constraints` and `flat_front` read them.
    """
    if OmegaConf.is_missing(cfg, "experiment"):
        raise UserError(NO_EXPERIMENT)
    for key, value in values_in(OmegaConf.to_container(cfg, resolve=False)):
        if value == MISSING:
            raise UserError(f"{key} has no value; give it one, as in {key}=...")
        if "${" not in str(value):
            _check_kind(key, value)
    unresolved = None
    try:
        _check_values(OmegaConf.to_container(cfg, resolve=True), is_search=bool(cfg.search))
    except InterpolationResolutionError as error:
        unresolved = error  # the checks below know what a group lacks, and say it in words
    for key in FILES:
        if (file := OmegaConf.select(cfg, key)) and not Path(file).is_file():
            raise UserError(f"{key}={file}: there is no such file")
    for folder in cfg.get("weak_labels_from") or ():
        if not Path(folder).is_dir():
            raise UserError(f"weak_labels_from=[{folder}]: there is no such folder")
    for group in ("space", "evaluator", "judge", "supernet", "scoring", "final", "measurement"):
        _check_needs(cfg, group)
    if not (cfg.search or cfg.supernet or cfg.final or cfg.measurement):
        raise UserError("there is nothing to run: search, supernet, final and measurement are all empty")
    if (cfg.get("judge") or {}).get("_target_") == JUDGE_OF_TRAININGS and not trains_architectures(cfg):
        raise UserError("judge=train tests what evaluator=train has trained; choose both, or neither")
    _check_final(cfg)
    if cfg.pretrain_on not in ("functions", "architectures"):
        raise UserError(f"pretrain_on={cfg.pretrain_on}: choose functions or architectures")
    if cfg.search:
        _check_evaluator(cfg)
        if limits := cfg.search.get("constraints"):
            cfg.search.constraints = flat_constraints(limits)
        if (front := cfg.search.get("front")) is not None:
            cfg.search.front = flat_front(front) or None
        rounds = ("per_round", "num_final", "growth", "num_first", "rounds")
        check_budget(
            cfg.search.budget,
            cfg.search.get("budget_epochs"),
            **{key: cfg.search[key] for key in rounds if key in cfg.search},
        )
    if cfg.table:
        check_protocol(cfg)
    if unresolved is not None:
        _check_resolved(cfg)
        raise unresolved


def _check_resolved(cfg: DictConfig) -> None:
    """Raises `UserError` where a value stands for another one that is not there."""
    for key, value in values_in(OmegaConf.to_container(cfg, resolve=False)):
        if isinstance(value, str) and "${" in value:
            try:
                OmegaConf.select(cfg, key)
            except InterpolationResolutionError as error:
                raise UserError(f"{key}={value}: {str(error).splitlines()[0]}") from error


def _check_values(values: Any, is_search: bool) -> None:
    """Raises `UserError` where a key of a resolved configuration has a value that no key can have."""
    for group in (folder.name for folder in Path(conf_dir()).iterdir()):
        if not isinstance(values.get(group, {}), dict | None) and group != "experiment":
            raise UserError(f"{group}={values[group]} is no mapping; choose one of its names, or null")
    for group in ("space", "logger", *(("search", "evaluator", "ranker") if is_search else ())):
        if "_target_" not in (values.get(group) or {}):
            raise UserError(f"{group} names no class; choose one of its names")
    for key, value in values_in(values):
        if key.endswith("_target_") and "." not in str(value):
            raise UserError(f"{key}={value} names no class; it is such as acenas.ranking.RankNetLoss")
        _check_kind(key, value)
        largest = 2**63 if key.endswith("seed") else 2**31
        if key.startswith("search.constraints"):  # in the unit of a cost, whatever that is
            continue
        if isinstance(value, int | float) and not -largest < value < largest:
            raise UserError(f"{key}={value} is no number below {largest:,}")
        if isinstance(value, dict) and str(value.get("_target_")).startswith("acenas."):
            _check_ranges(key, value)


def _check_ranges(key: str, arguments: Mapping[str, object]) -> None:
    for name in RANGES.keys() & arguments.keys():
        value, (least, most) = arguments[name], RANGES[name]
        if isinstance(value, int | float) and not least <= value <= (value if most is None else most):
            told = f"be {least} or more" if most is None else f"lie between {least} and {most}"
            raise UserError(f"{key}.{name}={value} must {told}")


def _check_kind(key: str, value: object) -> None:
    kind, words = KINDS.get(re.sub(r"\.\d+$", ".N", key), (object, ""))
    if not isinstance(value, kind):
        raise UserError(f"{key}={value} is not {words}")


def values_in(content: object, key: str = "") -> Iterator[tuple[str, object]]:
    """Yields all values within `content`, mappings and lists among them, with their dotted keys."""
    if key:
        yield key, content
    if isinstance(content, dict | list):
        for name, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from values_in(value, f"{key}.{name}" if key else str(name))


def _check_evaluator(cfg: DictConfig) -> None:
    """Raises `UserError` where the evaluator or what is given to the search makes no sense."""
    objective_of(cfg)
    attempts, on_failure = cfg.evaluator.get("attempts", 1), cfg.evaluator.get("on_failure", "skip")
    if not isinstance(attempts, int) or attempts < 1 or on_failure not in ("skip", "stop"):
        raise UserError(
            f"evaluator.attempts={attempts} must be 1 or more, and evaluator.on_failure={on_failure} skip or stop"
        )


def _check_needs(cfg: DictConfig, group: str) -> None:
    """Raises `UserError` where the choice of `group` takes a value from another group that is empty."""
    choice = cfg.get(group)
    if not choice:
        return
    written = OmegaConf.to_container(choice, resolve=False)
    assert isinstance(written, dict)
    for needed in [*_taken(written), *(["scoring"] if group == "supernet" else [])]:
        if needed in EXAMPLE and not cfg.get(needed):
            raise UserError(f"{group} needs {needed}; choose one, as in {needed}={EXAMPLE[needed]}")


def _check_final(cfg: DictConfig) -> None:
    named = [key for key in ("arch", "from_run") if cfg[key]]
    if named and not cfg.final:
        raise UserError(
            f"{named[0]} names what final trains, and final is empty; choose one, as in final=imagenet_90"
        )
    if cfg.search_member is not None and not (
        cfg.final and (cfg.from_run or (cfg.search and cfg.search.get("front")))
    ):
        raise UserError(
            f"search_member={cfg.search_member} names a member of a search's front for final to train; say "
            "from_run=FOLDER of a finished search, too"
        )
    sources = [*named, *(["search"] if cfg.search else [])]
    if cfg.final and len(sources) != 1:
        found = " and ".join(sources) or "nothing"
        raise UserError(
            f"final trains one network, and {found} names it; say either arch=ARCHITECTURE or from_run=FOLDER of a "
            "finished search, or choose a search"
        )
    if cfg.export and not cfg.final and not trains_architectures(cfg):
        raise UserError(
            "export needs a network that the run has trained; choose final, as in final=imagenet_90, or evaluator=train"
        )


def _taken(written: object) -> Iterator[str]:
    """The groups that the values within `written` are taken from."""
    if isinstance(written, dict):
        for value in written.values():
            yield from _taken(value)
    elif str(written).startswith("${"):
        yield str(written)[2:-1].split(".")[0]


def check_protocol(cfg: DictConfig) -> None:
    """Raises `UserError` where the table is not at hand, or lacks what its query protocol names."""
    table = cfg.table
    if table.dataset not in table.protocols:
        raise UserError(
            f"table.dataset={table.dataset} is not a data set of table {table.name}; "
            f"choose one of: {', '.join(table.protocols)}"
        )
    _check_short_trainings(cfg)
    # What the run measures, counts or reads itself is not in the table.
    labels = [] if cfg.supernet or cfg.weak_labels_file else list(weak_label_columns(cfg).values())
    labels = [column for column in labels if not isinstance(parse_column(column), Other)]
    check_table(table.path, table.space, [table.observed, table.test, *labels], cfg.data_dir)
    if (cfg.get("evaluator") or {}).get("_target_") == TABLE_EVALUATOR:
        columns = read_footer(find_table(table.path, cfg.data_dir), table.space).columns
        for name in costs_in(cfg):
            if cost_column(cfg, name, columns) is None and not _told_elsewhere(cfg, name):
                raise unknown_cost(cfg, name, columns)
    for group, column in (("evaluator", "observed"), ("judge", "test")):  # where they name another one
        path, space, name = (OmegaConf.select(cfg, f"{group}.{key}") for key in ("path", "space", column))
        if path and name and path != table.path:
            check_table(path, space, [name], cfg.data_dir)


def _told_elsewhere(cfg: DictConfig, cost: str) -> bool:
    """Whether something else than a table may tell the cost."""
    measured = cfg.latency_file and cost.startswith("latency_ms")
    return bool(measured or (cfg.images and cost in COUNTED_COSTS))


def _check_short_trainings(cfg: DictConfig) -> None:
    """Raises `UserError` where a weak label is an accuracy that is not of a training shorter than the observed one."""
    observed = parse_column(cfg.table.observed)
    for name, column in weak_label_columns(cfg).items():
        if column in (cfg.table.observed, cfg.table.test):
            raise UserError(
                f"weak_labels: {name} is what a training shows, which a search must pay for from its budget; choose "
                "another column"
            )
        if name == column or name in COUNTED_COSTS:
            continue
        short = parse_column(column)
        if not (
            isinstance(observed, Accuracy) and isinstance(short, Accuracy) and short.epochs < observed.epochs
        ):
            raise UserError(
                f"table.short_trainings: {name} is taken from {column}, which is not an accuracy after fewer epochs "
                f"than the observed {cfg.table.observed}; choose such a column"
            )
