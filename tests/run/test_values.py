"""Whatever a user writes behind a key: a run, or one sentence at once."""

import copy
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf, open_dict

from acenas.errors import UserError
from acenas.run.arguments import check_arguments
from acenas.run.command_line import as_meant, checked_config, sentences
from acenas.run.config import check_config, check_types, composing, conf_dir

CONF = Path(conf_dir())
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
GROUPS = sorted(path.name for path in CONF.iterdir() if path.is_dir() and path.name != "hydra")
ODD = (
    "true", "-1", "0", "1.5", "abc", "999999999999999999999", "2147483647", "-2147483647", "-1e400", "1e-300", "nan",
    "inf", "[]", "[1,abc]", "[[]]", "{a: 1}", "null", "${nothing}", "${oc.env:NO_SUCH}", "${seed}", "''", "'???'",
    "a=b|c", "{a: 1", "\u202e", "x" * 10_000,
)  # fmt: skip


@cache
def composed(experiment: str) -> DictConfig:
    with composing():
        return compose("config", [f"experiment={experiment}"])


def keys(node: DictConfig, before: str = "") -> Iterator[str]:
    for name in map(str, node):
        value = node._get_node(name)
        if before or name not in GROUPS:  # which are chosen by name
            yield f"{before}{name}"
        if isinstance(value, DictConfig) and not (value._is_none() or value._is_interpolation()):
            yield from keys(value, f"{before}{name}.")


def given_as(experiment: str, key: str, written: str) -> DictConfig:
    """As the command would compose it, without composing it again for each value."""
    parsed = OverridesParser.create().parse_override(as_meant([f"{key}={written}"])[0])
    cfg = copy.deepcopy(composed(experiment))
    with open_dict(cfg):
        OmegaConf.update(cfg, key, parsed.value(), merge=False)
    return cfg


def tried(experiment: str, key: str, written: str, make: bool = False) -> str:
    """The sentence that the value leads to; empty for a configuration that can run."""
    start = time.process_time()
    try:
        with sentences():
            cfg = given_as(experiment, key, written)
            check_types(cfg, composed(experiment), [key])
            check_config(cfg)
        if make:
            check_arguments(OmegaConf.to_container(cfg, resolve=True))
    except UserError as error:
        assert str(error) and ("\n" in written or "\n" not in str(error)) and len(str(error)) < 1500
        return str(error)
    finally:
        assert time.process_time() - start < 2
    return ""


values = st.one_of(st.sampled_from(ODD), st.integers().map(str), st.floats().map(str), st.text())


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_any_value_of_any_key_is_a_run_or_a_sentence(data: st.DataObject) -> None:
    experiment = data.draw(st.sampled_from(["debug", "final"]))
    key = data.draw(st.sampled_from(sorted(keys(composed(experiment)))))
    tried(experiment, key, data.draw(values))


@pytest.mark.slow
def test_odd_values_of_all_keys_of_all_experiments_are_runs_or_sentences() -> None:
    tried_keys: set[tuple[str, str]] = set()
    for experiment in EXPERIMENTS:
        check_arguments(OmegaConf.to_container(composed(experiment), resolve=True))  # imports take their time
        for key in keys(composed(experiment)):
            default = str(OmegaConf.select(composed(experiment), key))
            for written in ODD if (key, default) not in tried_keys else ():
                tried(experiment, key, written, make=True)
            tried_keys.add((key, default))
    assert len(tried_keys) > 500


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_what_experiments_give_to_classes_is_what_they_take(experiment: str) -> None:
    values = OmegaConf.to_container(composed(experiment), resolve=True, throw_on_missing=False)
    check_arguments(values)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("arch=${nothing}", "arch=${nothing}: there is no key nothing; write the value itself"),
        (
            "table.dataset=${nothing}",
            "table.dataset=${nothing}: there is no key nothing; write the value itself",
        ),
        (
            "loss.scale=${oc.env:NO_SUCH}",
            "loss.scale=${oc.env:NO_SUCH}: there is no environment variable NO_SUCH",
        ),
        ("search.constraints=[a.b,1]", "search.constraints=['a.b', 1] is not a mapping"),
        ("search.constraints=true", "search.constraints=True is not a mapping"),
        (
            "search.constraints={param_m: 1}",
            "nothing here tells param_m (did you mean params_m?); the table has",
        ),
        (
            "search.front=[param_m]",
            "search.front: nothing here tells param_m (did you mean params_m?); the table has",
        ),
        ("search.front=[digits.test.10]", "search.front: nothing here tells digits.test.10"),
        ("search.front=[${table.observed}]", "search.front: nothing here tells digits.observed.10"),
        ("search_member=0", "search_member=0 names a member of a search's front for final to train"),
        ("search_member=first", "search_member=first is not a whole number"),
        ("search.front=params_m", "search.front=params_m is neither a list of costs nor a mapping"),
        (
            "search.front={params_m: least}",
            "search.front: the direction of params_m must be max or min, not least",
        ),
        ("search.front=[a,b,c,d]", "search.front has 4 costs, and 3 are the most"),
        ("evaluator=[]", "evaluator names no class"),
        ("ranker.encoder.out_channels=999999999999999999999", "is no number below"),
        ("ranker=true", "ranker=true: choose a name, such as ace"),
        ("loss=999", "loss=999: choose a name, such as approxndcg"),
        ("logger=-1", "logger=-1: choose a name, such as wandb"),
        ("images=null", "images=null: choose a name, such as cifar10,"),
        ("evaluator/executor=null", "for none of them write '~evaluator/executor'"),
        ("search.budget=null", "search.budget=None must be a whole number"),
        ("weak_labels=7", "weak_labels=7 is not a name or a list of names"),
        ("table.protocols=null", "table.protocols=None is not a mapping"),
        ("evaluator.objective=[1]", "evaluator.objective=[1] is not a mapping"),
        ("loss.scale=inf", "loss.scale=inf is no number below"),
        ("seed=nan", "seed=nan is not a whole number"),
        ("space._target_=null", "space._target_=None names no class"),
        ("judge.path=nowhere", "nowhere"),
        ("weak_labels_from=lab", "weak_labels_from=lab is not a list of folders, as in [FOLDER]"),
        ("weak_labels_from=[nowhere]", "weak_labels_from=[nowhere]: there is no such folder"),
        ("weak_labels_file=nowhere.parquet", "weak_labels_file=nowhere.parquet: there is no such file"),
    ],
)
def test_wrong_values_are_named(override: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        checked_config(as_meant(["experiment=debug", override]))
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "ranker.finetuning.list_size=abc",
            "ranker.finetuning.list_size='abc' is not a whole number or null",
        ),
        ("ranker.encoder=null", "ranker.encoder=None is not made by a _target_: Callable"),
        ("ranker.accelerator=abc", "ranker.accelerator='abc' is not cpu or gpu or mps or auto"),
        ("ranker.prior.weight=null", "ranker.prior.weight=None is not a number"),
        ("loss._target_=acenas.ranking.Nothing", "acenas.ranking.Nothing cannot be imported"),
    ],
)
def test_what_a_class_does_not_take_is_named(override: str, message: str) -> None:
    cfg = checked_config(as_meant(["experiment=debug", override]))
    with pytest.raises(UserError) as raised:
        check_arguments(OmegaConf.to_container(cfg, resolve=True))
    assert message in str(raised.value) and "\n" not in str(raised.value)


CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"


@pytest.mark.parametrize(
    "arch",
    [
        CELL,
        "width=32,block=(kernel=3)(kernel=5),kind=conv",
        "a,b",
        "17",
        "1e5",
        'say "x"',
        "back\\",
        "${seed}x"[7:],
    ],
)
def test_an_architecture_is_written_as_it_is_on_the_command_line(arch: str) -> None:
    assert checked_config(as_meant(["experiment=final", f"arch={arch}"])).arch == arch


def test_in_a_sweep_commas_separate_architectures() -> None:
    (override,) = as_meant([f"arch={CELL},{CELL[:-1]}"], sweep=True)
    parsed = OverridesParser.create().parse_override(override)
    assert list(parsed.sweep_string_iterator()) == [f'"{CELL}"', f'"{CELL[:-1]}"']


def test_nothing_heavy_is_imported_to_check_a_configuration() -> None:
    import subprocess

    code = (
        "import sys; from acenas.run.command_line import checked_config; checked_config(['experiment=debug']);"
        "assert not {'torch', 'pytorch_lightning', 'wandb', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
