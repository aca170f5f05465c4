from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from acenas.errors import UserError
from acenas.run.origins import found, origin_of_search, read_search, same_training
from acenas.tables import TableMetadata, write_table
from tests.training.final.test_export import FACTS

ARCH = "|none~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
SUMMARY: dict[str, Any] = {
    "experiment": "mine_ltr", "seed": 4, "space": "nasbench201", "table": "mine", "dataset": "pets", "trained": 60,
    "returned": {"arch": ARCH, "observed_accuracy": 88.125, "test_accuracy": 87.0},
}  # fmt: skip
CONFIG: dict[str, Any] = {
    "search": {"_target_": "acenas.search.Search", "budget": 60},
    "ranker": {"_target_": "acenas.ranker.AceRanker"},
    "weak_labels": ["weak.supernet"],
    "table": None,
}


def test_a_search_tells_how_it_found_a_network() -> None:
    text = " ".join(origin_of_search(SUMMARY, CONFIG).lines)
    for part in ("`mine_ltr` (seed 4)", "trained 60 architectures in all (mine pets)", "88.12 %",
                 "`weak.supernet`", "AceRanker", "`nasbench201`"):  # fmt: skip
        assert part in text
    assert "87" not in text, "the test accuracy is another training's"
    assert "probability" not in text
    sure = {**CONFIG, "search": {**CONFIG["search"], "confidence": 0.95}}
    assert "or one better than it with a probability of 95%" in " ".join(
        origin_of_search(SUMMARY, sure).lines
    )
    limited = {
        "limits": {"latency_ms.pixel3": 15.0, "params_m": 1.0},
        "returned": {"latency_ms.pixel3": 12.5, "params_m": 0.75},
        "origins": {"latency_ms.pixel3": "predicted, within 3 %", "params_m": "counted"},
    }
    origin = origin_of_search({**SUMMARY, "constraints": limited}, CONFIG)
    assert "`latency_ms.pixel3` ≤ 15 (it has 12.5: predicted, within 3 %)" in origin.lines[-1]
    assert origin.latency_ms == {"pixel3": 12.5}
    assert "No weak labels" in " ".join(origin_of_search(SUMMARY, {**CONFIG, "weak_labels": []}).lines)


FRONT = {
    "costs": {"params_m": "min"},
    "members": [
        {"arch": ARCH, "observed_accuracy": accuracy, "costs": {"params_m": params}, "knee": False}
        for accuracy, params in ((70.0, 0.5), (80.0, 0.75))
    ],
}


def test_a_member_of_a_front_tells_that_it_is_one() -> None:
    limited = {
        "limits": {"params_m": 1.0, "flops_m": 9.0},
        "returned": {"params_m": 0.9, "flops_m": 3.0},
        "origins": {"params_m": "counted", "flops_m": "counted"},
    }
    lines = origin_of_search({**SUMMARY, "front": FRONT, "constraints": limited}, CONFIG, 1).lines
    assert (
        "a front of accuracy and `params_m`; this is number 2 of 2, with an observed accuracy of 80.00 %"
        in lines[1]
    )
    assert lines[-1] == "Architectures had to keep to `params_m` ≤ 1 (it has 0.75: counted), `flops_m` ≤ 9."


@pytest.mark.parametrize(
    ("summary", "member", "message"),
    [
        (SUMMARY, 0, r"search_member=0: lab has no front; it needs a search with search.front=\[...\]"),
        ({**SUMMARY, "front": {"members": []}}, 0, "lab has no front"),
        ({**SUMMARY, "front": FRONT}, 2, "search_member=2: the front of lab has 2 members, 0 to 1"),
        ({**SUMMARY, "front": FRONT}, -1, "search_member=-1: the front of lab has 2 members"),
    ],
)
def test_a_member_that_is_not_there_is_one_sentence(
    summary: dict[str, Any], member: int, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        found(summary, member, "lab")


def test_without_a_member_it_is_what_was_returned() -> None:
    assert found({**SUMMARY, "front": FRONT}, None) == SUMMARY["returned"]
    assert found({**SUMMARY, "front": FRONT}, 0)["costs"] == {"params_m": 0.5}


def test_a_search_for_something_else_than_accuracy_tells_what_it_observed() -> None:
    summary = {
        **SUMMARY,
        "objective": {"name": "perplexity", "unit": "", "direction": "min"},
        "returned": {"arch": ARCH, "observed_perplexity": 28.125, "test_perplexity": None},
    }
    text = " ".join(origin_of_search(summary, CONFIG).lines)
    assert "the best observed perplexity among them: 28.125 of this one" in text and "%" not in text


def test_latencies_come_from_the_table_of_the_search(tmp_path: Path) -> None:
    path = tmp_path / "mine.parquet"
    frame = pd.DataFrame(
        {
            "arch": [ARCH],
            "pets.valid.9": [88.0],
            "pets.latency_ms.pixel3": [4.5],
            "pets.latency_ms.edgetpu": [float("nan")],
        }
    )
    write_table(frame, path, TableMetadata(space="nasbench201", source="a test"))
    table = {"path": str(path), "space": "nasbench201", "dataset": "pets"}
    assert origin_of_search(SUMMARY, {**CONFIG, "table": table}).latency_ms == {"pixel3": 4.5}
    path.unlink()
    assert origin_of_search(SUMMARY, {**CONFIG, "table": table}).latency_ms == {}


def test_trainings_that_differ_in_the_seed_alone_are_one_network(tmp_path: Path) -> None:
    others = [
        replace(FACTS, seed=2, accuracy={"test": 94.0}),
        replace(FACTS, seed=3, training="other"),
        replace(FACTS, seed=4, arch="another"),
    ]
    for number, facts in enumerate([FACTS, *others]):
        facts.save(tmp_path / str(number) / "final" / "network.json")
    (tmp_path / "x" / "final").mkdir(parents=True)
    (tmp_path / "x" / "final" / "network.json").write_text("{", encoding="utf-8")
    assert same_training(FACTS, tmp_path / "0") == {1: FACTS.accuracy, 2: {"test": 94.0}}


def test_what_is_no_search_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no finished search"):
        read_search(tmp_path)
    (tmp_path / "summary.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="is damaged"):
        read_search(tmp_path)
