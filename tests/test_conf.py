"""Every choice in conf/ can be built: targets import, and their keys are in the signature."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from acenas.executors import Slurm
from acenas.run.config import conf_dir
from acenas.tables import BenchmarkTable, find_table

CONF = Path(conf_dir())
CHOICES = sorted(p for p in CONF.glob("*/**/*.yaml") if p.parent.name != "experiment")
EXPERIMENTS = sorted(p.stem for p in (CONF / "experiment").glob("*.yaml"))
FROM_THE_PIPELINE = {"folder", "num_node_types", "arch"}
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
        unknown = set(node) - HYDRA_KEYS - set(parameters)
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
    assert cfg.experiment == name
    check(OmegaConf.to_container(cfg, resolve=False))
    assert OmegaConf.is_struct(cfg), "an unknown key must be an error"


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


def test_the_check_notices_an_unknown_key() -> None:
    with pytest.raises(AssertionError, match="does not take"):
        check({"_target_": "acenas.search.BestAndRandom", "share": 0.5})
