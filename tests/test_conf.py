"""Every choice in conf/ can be built: targets import, and their keys are in the signature."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from acenas.errors import UserError
from acenas.executors import Slurm
from acenas.ranker import GraphRanker
from acenas.ranking import LambdaRankLoss
from acenas.run.config import OF_THE_RUN, RANGES, check_config, conf_dir
from acenas.spaces import NasBench201
from acenas.tables import BenchmarkTable, find_table
from acenas.training.recipe import Recipe

CONF = Path(conf_dir())
CHOICES = sorted(p for p in CONF.glob("*/**/*.yaml") if p.parent.name != "experiment")
SUITE = sorted(p.stem for p in (CONF / "experiment" / "suite").glob("*.yaml"))
EXPERIMENTS = [*sorted(p.stem for p in (CONF / "experiment").glob("*.yaml")), *(f"suite/{n}" for n in SUITE)]
FROM_THE_PIPELINE = {"folder", "space", "arch"}
KEYS_OF_THE_RUN = {key for keys in OF_THE_RUN.values() for key in keys}
HYDRA_KEYS = {"defaults", "_target_", "_partial_", "_recursive_", "_convert_"}


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "_target_" in value:
            yield value
        for child in value.values():
            yield from nodes(child)
    elif isinstance(value, list):
        for child in value:
            yield from nodes(child)


def check(content: Any) -> None:
    for node in nodes(content):
        target = get_object(node["_target_"])
        parameters = inspect.signature(target).parameters
        if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            continue
        unknown = set(node) - HYDRA_KEYS - KEYS_OF_THE_RUN - set(parameters)
        assert not unknown, f"{node['_target_']} does not take {unknown}"
        if not node.get("_partial_"):
            for name, parameter in parameters.items():
                given = name in node or parameter.default is not parameter.empty or name in FROM_THE_PIPELINE
                given = given or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
                assert given, f"{node['_target_']} needs {name}"


@pytest.mark.parametrize("path", CHOICES, ids=lambda p: f"{p.parent.name}={p.stem}")
def test_every_choice_fits_the_signature_of_its_target(path: Path) -> None:
    content = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    assert isinstance(content, dict) and (content or path.stem == "none"), f"{path.name} is empty"
    check(content)


LIMITED = sorted(
    {
        (node["_target_"], name)
        for path in CHOICES
        for node in nodes(OmegaConf.to_container(OmegaConf.load(path)))
        for name in RANGES.keys() & node.keys()
    }
    - {("acenas.ranker.GCNEncoder", "dropout")}  # torch refuses it, once the network is there
)


@pytest.mark.parametrize(("target", "name"), LIMITED)
def test_a_class_refuses_what_the_check_before_it_does(target: str, name: str) -> None:
    made, (least, most) = get_object(target), RANGES[name]
    own = {"space": NasBench201(), "arch": "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"}
    own |= {"recipe": Recipe(epochs=1, batch_size=256, learning_rate=1)}
    needed = {
        parameter.name: own.get(parameter.name, 1)
        for parameter in inspect.signature(made).parameters.values()
        if parameter.default is parameter.empty
    }
    for value in (least - 1, *([] if most is None else [most + 1])):
        with pytest.raises(UserError, match=f"{name}|share|channels"):
            made(**needed | {name: value})


def test_every_range_is_of_a_choice() -> None:
    assert {name for _, name in LIMITED} == set(RANGES) and len(LIMITED) > 12


def test_the_launcher_has_all_options_of_slurm_and_no_other() -> None:
    launcher = OmegaConf.load(CONF / "hydra/launcher/slurm.yaml")
    assert set(launcher) == {"_target_", "jobs", *inspect.signature(Slurm).parameters}
    defaults = {name: parameter.default for name, parameter in inspect.signature(Slurm).parameters.items()}
    for path in ("hydra/launcher/slurm.yaml", "evaluator/executor/slurm.yaml"):
        given = OmegaConf.to_container(OmegaConf.load(CONF / path))
        assert isinstance(given, dict)
        assert all((given[name] or None) == defaults[name] for name in defaults if name in given), path


@pytest.fixture(params=EXPERIMENTS)
def experiment(request: pytest.FixtureRequest) -> tuple[str, DictConfig]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return request.param, compose("config", overrides=[f"experiment={request.param}"])


def test_every_experiment_composes_under_its_own_name(experiment: tuple[str, DictConfig]) -> None:
    name, cfg = experiment
    assert cfg.experiment == name.removeprefix("suite/")
    check(OmegaConf.to_container(cfg, resolve=False))
    assert OmegaConf.is_struct(cfg), "an unknown key must be an error"


def test_the_published_method_is_one_choice() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", overrides=["experiment=nb201_ltr", "method=paper"])
    rounds = OmegaConf.masked_copy(cfg.search, [key for key in cfg.search if key not in KEYS_OF_THE_RUN])
    space, search = instantiate(cfg.space), instantiate(rounds)
    assert space.as_written and cfg.pretrain_on == "architectures"
    assert search.with_budget(110).round_sizes == [20] * 5 + [10] and search.confidence is None
    assert (search.first.best, search.acquisition.best, search.final.best) == (0.0, 0.5, 1.0)
    ranker = instantiate(cfg.ranker, space=space)
    assert isinstance(ranker, GraphRanker) and ranker.loss == LambdaRankLoss(
        scale=20.0, rank_by="label_ascending"
    )
    assert ranker.continues and ranker.pretraining.samples == 3200


@pytest.mark.parametrize("name", SUITE)
def test_every_task_of_the_suite_is_a_short_file_and_a_task(name: str) -> None:
    assert len((CONF / "experiment" / "suite" / f"{name}.yaml").read_text().splitlines()) <= 15
    assert OmegaConf.load(CONF / "benchmark.yaml").define.tasks[name] == [f"experiment=suite/{name}"]


def test_the_measurement_is_the_one_that_made_the_embedded_table() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", overrides=["experiment=measure_nb201_digits"])
    table = BenchmarkTable.open(find_table("nb201_digits"))
    arch = table.archs[0]
    measured = instantiate(cfg.measurement).measure_one(arch)
    assert measured["params_m"] == pytest.approx(table.lookup([arch], "digits.params_m")[0])
    for split in ("valid", "test"):
        for seed, accuracy in zip(cfg.measurement.seeds, measured[split], strict=True):
            # Other processors round otherwise, which grows from step to step.
            assert accuracy == pytest.approx(table.lookup([arch], f"digits.{split}.10.s{seed}")[0], abs=3.5)


def default_choices() -> list[Path]:
    """The choice of each group that the command makes by default."""
    listed = OmegaConf.to_container(OmegaConf.load(CONF / "config.yaml").defaults)
    assert isinstance(listed, list)
    chosen = [next(iter(each.items())) for each in listed if isinstance(each, dict)]
    groups = [(group, choice) for group, choice in chosen if choice and not {" ", "@"} & set(group)]
    return [CONF / group / f"{choice}.yaml" for group, choice in groups if group != "experiment"]


def differences(node: Any) -> Iterator[str]:
    """Each value in `node` (with a `_target_`) that is not the default of the same argument in Python."""
    parameters = inspect.signature(get_object(node["_target_"])).parameters
    for key, value in node.items():
        default = parameters[key].default if key in parameters else inspect.Parameter.empty
        if default is inspect.Parameter.empty or str(value).startswith("${"):
            continue
        if isinstance(value, dict) and value.get(
            "_partial_"
        ):  # the default is the class, with its own defaults
            if get_object(value["_target_"]) is not default:
                yield f"{key}: {value['_target_']}, not {default}"
            yield from (f"{key}.{difference}" for difference in differences(value))
            continue
        built = instantiate(value) if isinstance(value, dict) and "_target_" in value else value
        if built != (list(default) if isinstance(default, tuple) else default):  # YAML has no tuples
            yield f"{key}: {value}, not {default}"


@pytest.mark.parametrize("path", default_choices(), ids=lambda p: f"{p.parent.name}={p.stem}")
def test_a_default_choice_repeats_the_defaults_of_its_class(path: Path) -> None:
    content = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    assert isinstance(content, dict)
    if "_target_" in content:
        assert not list(differences(content))


def test_what_the_default_choices_refer_to_is_the_default_in_python() -> None:
    assert repr(GraphRanker(NasBench201()).loss) == repr(LambdaRankLoss())


def test_the_comparison_notices_another_default() -> None:
    search = {"_target_": "acenas.search.BudgetedSearch", "budget": 100, "per_round": 4}
    rule = {"_target_": "acenas.search.BestAndRandom", "best": 0.5, "part": 0.1, "spread": 0.5}
    assert list(differences(search)) == ["per_round: 4, not 3"]
    assert len(list(differences({**search, "per_round": 3, "first": rule}))) == 1
    assert not list(differences({**search, "per_round": 3, "first": {**rule, "best": 0.0}}))
    ranker = {"_target_": "acenas.ranker.GraphRanker", "loss": "${loss}", "seed": "${seed}"}
    encoder = {"_target_": "acenas.ranker.BidirectionalEncoder", "_partial_": True, "layers": 4}
    assert list(differences({**ranker, "encoder": encoder})) == ["encoder.layers: 4, not 3"]


@pytest.mark.parametrize("group", ["ranker", "search"])
def test_debug_takes_every_ranker_and_search(group: str) -> None:
    for path in sorted((CONF / group).glob("*.yaml")):
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("config", overrides=["experiment=debug", f"{group}={path.stem}"])
        check(OmegaConf.to_container(cfg[group], resolve=False))
        assert cfg.search.budget == 12
        check_config(cfg)


def test_the_check_notices_an_unknown_key() -> None:
    with pytest.raises(AssertionError, match="does not take"):
        check({"_target_": "acenas.search.BestAndRandom", "share": 0.5})
