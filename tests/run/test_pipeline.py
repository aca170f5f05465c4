"""What a run may know, and what it must not."""

import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from acenas.errors import UserError
from acenas.evaluation import TableJudge
from acenas.files import atomic_path
from acenas.report.summary import FinishedSearch, best_architectures
from acenas.run import pipeline
from acenas.run.config import AUTO, check_config, conf_dir, instantiate, other_run, run_hash, weak_label_names
from acenas.run.pipeline import assist, run
from acenas.run.stages.labels import labels_by_default, labels_from_elsewhere
from acenas.spaces import NasBench201
from acenas.tables import BenchmarkTable, TableMetadata, WeakLabels, find_table, write_table
from tests.shortcuts import in_this_process, without_figures


def config(*overrides: str) -> DictConfig:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return compose("config", ["experiment=debug", "logger.mode=disabled", *overrides])


QUICK = ("ranker.pretraining.epochs=1", "ranker.finetuning.passes=2")


def run_in(folder: Path, *overrides: str, figures: bool = False) -> Path:
    folder.mkdir()
    with nullcontext() if figures else without_figures(), in_this_process():
        run(config(*QUICK, *overrides), folder)
    return folder


def embedded() -> pd.DataFrame:
    table = BenchmarkTable.open(find_table("nb201_digits"))
    columns = {name: table.column(name) for name in table.columns if table.is_numeric(name)}
    return pd.DataFrame({"arch": table.archs, **columns})


def test_test_accuracies_cannot_change_a_search(tmp_path: Path) -> None:
    """The same search on a table whose test accuracies are replaced: other results are reported, none is found."""
    frame = embedded()[::4].reset_index(drop=True)
    frame["digits.latency_ms.phone"] = np.where(
        np.arange(len(frame)) % 2, 2.5, np.nan
    )  # not measured everywhere
    changed = frame.copy()
    for name in frame.columns:
        if ".test." in name:
            changed[name] = 100.0 - frame[name].to_numpy()
    folders = []
    for name, content in {"true": frame, "changed": changed}.items():
        write_table(content, tmp_path / f"{name}.parquet", TableMetadata(space="nasbench201"))
        folders.append(run_in(tmp_path / name, f"table.path={tmp_path / name}.parquet"))
    for file in ("observations.parquet", "scores.parquet"):
        left, right = (pd.read_parquet(folder / file) for folder in folders)
        pd.testing.assert_frame_equal(left, right)
    true, other = ((folder / "summary.json").read_text() for folder in folders)
    assert true != other, "the report does read test accuracies"
    costs = json.loads(true)["returned"]["costs"]
    assert {"params_m", "flops_m"} <= costs.keys() and costs.get("latency_ms.phone") in (2.5, None)


def test_columns_of_any_name_are_weak_labels_and_a_cost_is_that_of_the_data_set(tmp_path: Path) -> None:
    frame = embedded().rename(columns={"weak.short": "one epoch", "digits.observed.10": "score"})
    write_table(frame, tmp_path / "own.parquet", TableMetadata(space="nasbench201"))
    own = (f"table.path={tmp_path / 'own.parquet'}", "table.observed=score")
    names = ("one epoch", "params_m")
    labels = labels_from_elsewhere(
        config(*own, "weak_labels=['one epoch',params_m]"),
        NasBench201(),
        None,
        BenchmarkTable.open(tmp_path / "own.parquet"),
    )
    for name, column in zip(names, ("one epoch", "digits.params_m"), strict=True):
        values = labels[name].frame()[name]
        assert values.tolist() == frame.set_index("arch")[column][values.index].tolist()
    folder = run_in(tmp_path / "run", *own, "weak_labels=['one epoch',params_m]")
    logged = (folder / "metrics.csv").read_text().splitlines()[0]
    assert "pretrain/one epoch_mse" in logged and "pretrain/params_m_mse" in logged
    with pytest.raises(UserError, match="score is what a training shows, which a search must pay for"):
        check_config(config(*own, "weak_labels=[score]"))


def test_the_judge_is_made_after_the_search_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained_before_judging = []
    made = TableJudge.__init__

    def watched(self: TableJudge, path: str, space: str, test: str, objective: object) -> None:
        trained_before_judging.append(len(pd.read_parquet(tmp_path / "run" / "observations.parquet")))
        made(self, path, space, test)

    monkeypatch.setattr(TableJudge, "__init__", watched)
    run_in(tmp_path / "run")
    assert set(trained_before_judging) == {12}


@pytest.mark.slow
def test_what_is_returned_need_not_be_among_the_best_observed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def others(search: FinishedSearch) -> pd.DataFrame:
        best = best_architectures(search)
        return best[best["arch"] != search.returned]

    monkeypatch.setattr("acenas.run.stages.report.best_architectures", others)
    run_in(tmp_path / "run")
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["returned"]["costs"]["params_m"] > 0


def test_the_loss_decides_what_is_learned_from_the_same_first_round(tmp_path: Path) -> None:
    scores = [
        pd.read_parquet(
            run_in(tmp_path / loss, f"loss={loss}", "search.budget=5", "search.num_final=1")
            / "scores.parquet"
        )
        for loss in ("mse", "ranknet")
    ]
    assert np.array_equal(scores[0]["pretrained"], scores[1]["pretrained"])
    assert not np.array_equal(scores[0]["round_1"], scores[1]["round_1"])


def test_what_an_earlier_run_found_is_the_first_label(tmp_path: Path) -> None:
    before = run_in(tmp_path / "before", "search.budget=5")
    asked = (f"weak_labels_from=[{before}]", "weak_labels=[digits.params_m]", "search.budget=5")
    folder = run_in(tmp_path / "run", *asked)
    names = ["weak.from_before", "digits.params_m"]
    assert yaml.safe_load((folder / "config.yaml").read_text())["weak_labels"] == names
    logged = (folder / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {f"pretrain/{name}_mse" for name in names} <= {*logged}
    assert not other_run(config(*QUICK, *asked), folder), "the same command goes on with it"


def test_only_the_first_process_tells_how_far_a_run_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    monkeypatch.setattr(pipeline, "supernet_labels", lambda *given: told.append(given[4].status))
    assist(config("experiment=digits_supernet"), tmp_path)
    assert told == [None]


def test_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "file") as one, atomic_path(tmp_path / "file") as other:
        one.write_text("one")
        other.write_text("other")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "one"


def test_the_hash_is_that_of_the_resolved_config() -> None:
    assert run_hash(config()) == run_hash(config("output_root=elsewhere", "fresh=true"))
    different = {run_hash(config(o)) for o in ("seed=1", "loss=mse", "search.budget=13", "weak_labels=[]")}
    assert len(different | {run_hash(config())}) == 5
    assert run_hash(config("seed=1"), without=["seed"]) == run_hash(config("seed=2"), without=["seed"])


def test_a_search_keeps_to_its_constraints_and_is_compared_with_what_keeps_them(tmp_path: Path) -> None:
    folder = run_in(tmp_path / "run", "search.constraints={params_m: 0.004, flops_m: 0.22}", figures=True)
    frame = embedded().set_index("arch")
    kept = frame[(frame["digits.params_m"] <= 0.004) & (frame["digits.flops_m"] <= 0.22)]
    assert 100 < len(kept) < len(frame) / 2
    trained = pd.read_parquet(folder / "observations.parquet")["arch"]
    assert set(trained) <= set(kept.index)
    assert set(pd.read_parquet(folder / "scores.parquet")["arch"]) == set(kept.index)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["best_known"]["test_accuracy"] == pytest.approx(kept["digits.test.10"].max())
    assert summary["constraints"]["returned"]["params_m"] <= 0.004
    front = [row["arch"] for row in summary["constraints"]["pareto_front"]]
    assert summary["returned"]["arch"] in front and set(front) <= set(trained)
    assert (folder / "costs.svg").exists()


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        (
            "{params_m: 0.0001}",
            "none of 6,466 architectures has params_m <= 0.0001 .* the least of each is params_m",
        ),
        ("{latency_ms.pixel3: 3}", "nothing here tells latency_ms.pixel3; the table has .*params_m"),
    ],
)
def test_constraints_that_nothing_keeps_or_tells_are_an_error(
    tmp_path: Path, constraints: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run_in(tmp_path / "run", f"search.constraints={constraints}")


@pytest.mark.parametrize("front", ["[train_seconds.10]", "{train_seconds.10: max, flops_m: min}"])
def test_a_front_is_of_any_column_that_shows_no_accuracy(tmp_path: Path, front: str) -> None:
    folder = run_in(tmp_path / "run", f"search.front={front}", "search.constraints={params_m: 0.01}")
    described = json.loads((folder / "study.json").read_text())
    assert described["front"] == {
        name.strip(): direction.strip() or "min"
        for name, _, direction in (each.partition(":") for each in front.strip("[]{}").split(","))
    }
    assert described["constraints"] == {"params_m": 0.01}


LIVE = (
    "space=nasbench201_digits",
    "table=none",
    "images=digits",
    "recipe=digits",
    "evaluator=train",
    "judge=train",
    "recipe.epochs=1",
    "recipe.warmup_epochs=0",
    "evaluator.jobs=1",
    "search.budget=4",
    "search.per_round=2",
    "search.num_final=2",
    "weak_label_samples=100",
)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ([], ["params_m", "macs_m"]),
        (["weak_labels=[digits.flops_m,digits.params_m]"], ["digits.flops_m", "digits.params_m"]),
        (
            ["weak_labels=[synflow,tests.run.test_pipeline.convolutions]"],
            ["weak.synflow", "weak.convolutions"],
        ),
    ],
)
def test_without_a_table_labels_are_counted(tmp_path: Path, given: list[str], names: list[str]) -> None:
    folder = run_in(tmp_path / "run", *LIVE, *given)
    labels = WeakLabels.load(folder / "weak_labels.parquet", space="nasbench201")
    assert labels.names == names and len(labels) == 100
    values = labels.frame()
    assert values.notna().to_numpy().all()
    costs = NasBench201(16, 1, 1, 1).costs(labels.archs, 10, (1, 8, 8))
    for name in values.columns.intersection(["params_m", "digits.params_m"]):
        assert values[name].tolist() == [cost.params_m for cost in costs]
    summary = json.loads((folder / "summary.json").read_text())
    assert {"weak_labels", "pretrain"} <= summary["seconds"].keys() and summary["trained"] == 4
    config_of_run = yaml.safe_load((folder / "config.yaml").read_text())
    assert config_of_run["weak_labels"] == (names if not given else config_of_run["weak_labels"])
    pretrained = pd.read_parquet(folder / "scores.parquet")["pretrained"]
    assert len(pretrained) > 1000 and pretrained.nunique() > 100, "what has no label is ranked, too"


def convolutions(arch: str) -> int:
    return arch.count("conv")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("weak_labels=[cifar10.params_m]", "there is no cifar10.params_m; choose from params_m, macs_m"),
        (
            "weak_labels=[params_m,weak.synfow]",
            "there is no weak.synfow; .* weak.synflow, .* or name a table",
        ),
        ("space.in_channels=3", "images"),
    ],
)
def test_a_label_that_cannot_be_counted_is_an_error_before_anything_is_made(
    tmp_path: Path, given: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run_in(tmp_path / "run", *LIVE, "weak_labels=[params_m]", given)
    assert not list((tmp_path / "run").iterdir())


def test_a_label_that_nobody_makes_is_an_error_before_the_supernet_is_trained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no weak\.supernt; choose from weak\.supernet"):
        run_in(tmp_path / "run", "experiment=digits_live", "table=none", "weak_labels=[weak.supernt]")
    assert not list((tmp_path / "run").iterdir())


def test_without_networks_there_are_no_labels_by_default(tmp_path: Path) -> None:
    cfg = config(*LIVE, "space=graphs", "+space.archs=[a]", "space.read={a: [[conv, pool], [[0, 1]]]}")
    assert cfg.weak_labels == AUTO and weak_label_names(cfg) == []
    assert labels_by_default(cfg, instantiate(cfg.space), instantiate(cfg.images)) == []
    live = config("experiment=digits_live", "table=none", "weak_labels=auto")
    assert labels_by_default(live, instantiate(live.space), instantiate(live.images)) == [
        "weak.supernet",
        "weak.supernet_loss",
        "digits.params_m",
        "digits.flops_m",
    ]


def energetic(arch: str) -> dict[str, float]:
    large = arch.count("conv_3x3")
    return {"accuracy": 60.0 + 5 * large + arch.count("skip"), "energy": 1.0 + 2 * large}


def test_a_front_of_what_only_training_shows_starts_from_what_was_given(tmp_path: Path) -> None:
    """By a function that trains cells which the table of the experiment does not know."""
    best = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    given = pd.DataFrame({"cell": [best], "top": [energetic(best)["accuracy"]], "joule": [13.0]})
    given.to_csv(tmp_path / "given.csv", index=False)
    folder = run_in(
        tmp_path / "run",
        "evaluator=function",
        "evaluator.function=tests.run.test_pipeline:energetic",
        "judge=none",
        "search.front=[energy]",
        f"search.given={tmp_path / 'given.csv'}",
        "search.given_columns={arch: cell, accuracy: top, energy: joule}",
    )
    front = pd.read_parquet(folder / "front.parquet")
    assert front.iloc[-1][["arch", "energy"]].tolist() == [best, 13.0]
    observed = pd.read_parquet(folder / "observations.parquet")
    assert observed["energy"].tolist() == [energetic(arch)["energy"] for arch in observed["arch"]]
    predicted = pd.read_parquet(folder / "front_predicted.parquet")
    assert predicted["predicted_energy"].notna().all() and not (folder / "front_true.parquet").exists()
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["front"]["members"][-1]["costs"] == {"energy": 13.0} and summary["given"] == 1
