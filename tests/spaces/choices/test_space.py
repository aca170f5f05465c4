import collections
import time
from collections.abc import Mapping
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from hypothesis import given, settings
from torch import nn

from acenas.errors import UserError
from acenas.run.config import conf_dir
from acenas.spaces import Choice, Choices, Repeated
from acenas.spaces.choices.layout import flat
from acenas.spaces.cost import Cost
from acenas.spaces.features import Counts, OneHot

CONDITIONAL = {
    "width": [16, 32, 64],
    "block": Repeated(
        {"kernel": [3, 5], "expand": Choice([1, 2, 4], when={"kernel": 5})},
        times=[0, 1, 3],
        when={"width": [16, 32]},
    ),
    "kind": ["conv", "mbconv"],
    "squeeze": Choice([True, False], when={"kind": "mbconv", "block": [1, 3]}),
    "norm": [None, "batch"],
}
SPACE = Choices(CONDITIONAL)


def tiny(width: int, act: str, num_classes: int, bias: bool = True) -> nn.Module:
    act_layer = nn.ReLU() if act == "relu" else nn.Tanh()
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width, bias), act_layer, nn.Linear(width, num_classes))


# --- what can be written ---


def names() -> st.SearchStrategy[str]:
    return st.text(min_size=1, max_size=5).filter(lambda text: text.strip())


def values() -> st.SearchStrategy[list[Any]]:
    value = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
    return st.lists(value, min_size=1, max_size=4, unique_by=(str, lambda each: hash(each)))


def mappings() -> st.SearchStrategy[dict[str, Any]]:
    leaf = values().filter(lambda found: len(set(found)) == len(found))
    times = st.lists(st.integers(0, 2), min_size=1, max_size=2)
    blocks = st.builds(Repeated, st.dictionaries(names(), leaf, min_size=1, max_size=2), times)
    return st.dictionaries(names(), leaf | blocks, min_size=1, max_size=4)


@settings(deadline=None, max_examples=200)
@given(mappings(), st.integers(0, 1000))
def test_whatever_names_and_values_are_architectures_are_read_as_written(
    choices: dict[str, Any], seed: int
) -> None:
    space = Choices(choices)
    for arch in space.sample(3, torch.Generator().manual_seed(seed)):
        space._rows.clear()  # what sampling has left would not be read
        space.validate(arch)
        chosen = space.choices(arch)
        assert space.parse(arch) == arch == space.parse(chosen)
        for name, value in chosen.items():
            given = choices[name]
            if isinstance(given, Repeated):
                assert all(block[inner] in given.choices[inner] for block in value for inner in block)
            else:
                assert any(value == each and type(value) is type(each) for each in given)


def test_signs_of_the_grammar_and_letters_of_any_language_are_written_safely() -> None:
    space = Choices({"act=fn": ["a,b", "c;d (e)", "größer", "日本", "50%", "a\nb", ""]})
    assert space.enumerate() == [
        "act%3Dfn=a%2Cb",
        "act%3Dfn=c%3Bd%20%28e%29",
        "act%3Dfn=größer",
        "act%3Dfn=日本",
        "act%3Dfn=50%25",
        "act%3Dfn=a%0Ab",
        "act%3Dfn=",
    ]
    assert [space.choices(arch)["act=fn"] for arch in space.enumerate()][4] == "50%"


def test_types_of_files_are_matched_to_the_choice_there_is() -> None:
    space = Choices(
        {"width": [16, 32], "rate": [0.1, 1.0], "se": [True, False], "act": [None, "relu", "8"], "n": [0, 1]}
    )
    expected = "width=16,rate=1.0,se=True,act=None,n=1"
    told: list[dict[str, Any]] = [
        {"width": 16, "rate": 1.0, "se": True, "act": None, "n": 1},
        {"width": 16.0, "rate": 1, "se": "true", "act": float("nan"), "n": True},
        {"width": np.int64(16), "rate": np.float32(1), "se": np.bool_(True), "act": "none", "n": "1.0"},
        {"width": " 16", "rate": "1", "se": 1, "act": "", "n": np.float64(1)},
        {"width": "16.0", "rate": "1.00", "se": "1", "act": pd.NA, "n": "true"},
    ]
    assert {space.parse(each) for each in told} == {expected}
    assert space.parse({**told[0], "act": 8}) == space.parse({**told[0], "act": "8"})
    assert space.parse("n=1, se=True,act=None,rate=1.0,width=16") == expected
    either = Choices({"op": ["A", "a"]})
    assert either.parse("op=a") == "op=a"


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"width": 48}, "width is 48 and can be 16, 32 or 64"),
        (
            {"width": 64, "kind": "mbcnv", "norm": None},
            r"kind is 'mbcnv' and can be conv or mbconv \(did you mean mbconv\?\)",
        ),
        ({"widht": 64}, r"there is no choice 'widht', but width, .* \(did you mean width\?\)"),
        ({"width": 64, "kind": "conv"}, "norm is missing and can be None or batch"),
        ({"width": float("nan")}, "width is missing and can be 16, 32 or 64"),
        ({"width": 16}, "block is missing and can be 0, 1 or 3"),
        ({"width": 16, "block": [{}, {}]}, "block has 2 blocks and can have 0, 1 or 3"),
        ({"width": 16, "block": 3}, "block is a list of blocks, not 3"),
        ({"width": 16, "block": [5]}, "block 1: expected choices by their names, not 5"),
        ({"width": 16, "block": [{"kernel": 5, "expand": 3}]}, "block 1: expand is 3 and can be 1, 2 or 4"),
        ("width=64,kind=conv,norm=batch,norm=batch", "norm is there twice"),
        ("width=16,block=(kernel=3,kind=conv", r"expected name=value and name=\(name=value\)"),
        ("16-conv", "expected name=value"),
        ("width=64)", "expected name=value"),
    ],
)
def test_errors_name_what_is_wrong_and_what_there_is(told: str | Mapping[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"not an architecture of this space: .*{message}"):
        SPACE.parse(told)


def test_an_architecture_has_one_way_to_be_written() -> None:
    arch = "width=64,kind=conv,norm=batch"
    assert SPACE.parse({"norm": "batch", "kind": "conv", "width": 64, "squeeze": True, "block": []}) == arch
    for other in (
        "kind=conv,width=64,norm=batch",
        "width=64,kind=conv,squeeze=True,norm=batch",
        f" {arch}",
        f"{arch},",
    ):
        assert SPACE.parse(other) == arch
        with pytest.raises(UserError, match=f"not as this space writes it, '{arch}'"):
            SPACE.validate(other)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({}, "choices are a mapping of names to values"),
        ({"a": "conv"}, "a needs a list of choices, not 'conv'"),
        ({"a": []}, "a needs choices that differ"),
        ({"a": [1, "1"]}, "a needs choices that differ, as text too"),
        ({"a": [1, True]}, "a needs choices that differ"),
        ({"a": [(3, 3)]}, r"a choice is a number, a name, true, false or none, not \(3, 3\)"),
        ({"a": [float("nan")]}, "not nan"),
        ({1: [1], "1": [2]}, "choices need names that differ"),
        ({"a": {"options": [1]}}, "a: expected values and when, or choices, times and when, not options"),
        ({"a": Repeated({"k": [1]}, times=[])}, "a: times are whole numbers from 0 on"),
        ({"a": Repeated({"k": [1]}, times=-1)}, "a: times are whole numbers"),
        ({"a": Repeated({}, times=1)}, "a 1: choices are a mapping"),
        ({"a": Choice([1], when={"b": 1}), "b": [1]}, "a depends on 'b', which is no choice before it"),
        ({"b": [1], "a": Choice([1], when={"b": 2})}, "the condition of a: b is 2 and can be 1"),
    ],
)
def test_a_space_that_makes_no_sense_is_told(choices: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Choices(choices)


def test_plain_mappings_say_the_same_as_the_classes() -> None:
    plain = Choices(
        {
            "width": (16, 32, 64),
            "block": {
                "choices": {"kernel": [3, 5], "expand": {"values": [1, 2, 4], "when": {"kernel": 5}}},
                "times": range(0, 4),
                "when": {"width": [16, 32]},
            },
        }
    )
    blocks = sum(4**number for number in range(4))
    assert plain.size == 2 * blocks + 1
    plain.validate("width=32,block=(kernel=3)(kernel=5,expand=4)")
    plain.validate("width=32,block=")


# --- frames, and strings of others ---


def test_rows_of_a_frame_are_read_by_their_columns_or_their_string() -> None:
    frame = pd.DataFrame(
        {
            "width": [16.0, 64.0, 16.0],
            "block.0.kernel": [5.0, np.nan, np.nan],
            "block.0.expand": ["2", None, None],
            "kind": ["conv", "mbconv", "conv"],
            "squeeze": [np.nan, np.nan, True],
            "norm": ["batch", None, "None"],
            "accuracy": [90.0, 91.0, 92.0],
        }
    )
    archs = SPACE.read_frame(frame)
    assert archs == [
        "width=16,block=(kernel=5,expand=2),kind=conv,norm=batch",
        "width=64,kind=mbconv,norm=None",
        "width=16,block=,kind=conv,norm=None",
    ]
    assert SPACE.read_frame(pd.DataFrame({"arch": archs})) == archs
    assert SPACE.read_frame(pd.DataFrame({"cell": archs}), column="cell") == archs
    assert SPACE.from_choices({**SPACE.choices(archs[0]), "accuracy": 90.0}) == archs[0]
    with pytest.raises(UserError, match=r"row 1: .*width is 17 and can be"):
        SPACE.read_frame(frame.assign(width=[16, 17, 16]))
    with pytest.raises(UserError, match=r"row 0: .*kind is missing"):
        SPACE.read_frame(frame.drop(columns="kind"))
    with pytest.raises(UserError, match="there is no column 'net', but width"):
        SPACE.read_frame(frame, column="net")


def test_rows_of_a_frame_have_blocks_within_blocks_and_blocks_of_which_nothing_is_there() -> None:
    inner = Repeated({"kernel": [3, 5]}, times=[0, 1])
    space = Choices({"block": Repeated({"norm": [None, "batch"], "inner": inner}, times=[0, 1, 2])})
    archs = space.enumerate()
    frame = pd.DataFrame([flat(space.choices(arch)) for arch in archs])
    for empty in (np.nan, ""):
        assert space.read_frame(frame.astype(object).where(frame.notna(), empty)) == archs
    nested = pd.DataFrame([space.choices(arch) for arch in archs])
    assert space.read_frame(nested) == archs
    assert space.read_frame(nested.assign(block=nested["block"].map(np.array))) == archs
    without = frame.drop(columns="block")  # the last block is the last one of which anything is there
    assert space.read_frame(without[without["block.1.norm"] == "batch"]) == [
        arch
        for arch in archs
        if arch.endswith(
            ("(norm=batch,inner=)", "(norm=batch,inner=(kernel=3))", "(norm=batch,inner=(kernel=5))")
        )
        and arch.count("norm") == 2
    ]
    with pytest.raises(UserError, match="block has 3 blocks and can have 0, 1 or 2"):
        space.read_frame(frame.assign(block=3))


@pytest.mark.parametrize(
    ("choices", "match"),
    [
        ({"arch": ["a", "b"]}, "arch is the name of the whole architecture"),
        ({"a.0.b": [1], "a": Repeated({"b": [1]}, times=1)}, "a.0.b would be the column of two choices"),
    ],
)
def test_names_that_would_be_mixed_up_are_refused(choices: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        Choices(choices)


def test_strings_of_others_are_read_by_a_pattern_or_a_function() -> None:
    pattern = r"e(?P<e>\d)k(?P<k>\d)(?P<s>s)?"
    space = Choices(
        {"block": Repeated({"e": [1, 6], "k": [3, 5], "s": [None, "s"]}, times=[1, 2])}, read=pattern
    )
    assert space.parse("e6k3s-e1k5") == "block=(e=6,k=3,s=s)(e=1,k=5,s=None)"
    assert space.parse("block=(e=6,k=3,s=s)") == "block=(e=6,k=3,s=s)"
    with pytest.raises(UserError, match="block 2: e is '9' and can be 1 or 6"):
        space.parse("e6k3-e9k5")
    with pytest.raises(UserError, match=r"nothing in it matches .*: 'x'"):
        space.parse("x")
    lists = Choices(
        {"block": Repeated({"h": [4, 8], "m": [2, 3]}, times=[1, 2, 3]), "b": [0, 1]},
        read=r"L\d-h(?P<h>[\d,]+)-m(?P<m>[\d,]+)-b(?P<b>\d)",
    )
    assert lists.parse("L3-h4,8,4-m3,3,2-b1") == "block=(h=4,m=3)(h=8,m=3)(h=4,m=2),b=1"
    with pytest.raises(UserError, match="the lists of h, m differ in length"):
        lists.parse("L3-h4,8,4-m3,3-b1")
    flat = Choices({"a": [0, 1], "b": [2, 3]}, read=r"(?P<a>\d)_(?P<b>\d)")
    assert flat.parse("64-1_2") == "a=1,b=2"
    assert Choices({"a": [0, 1]}, read=lambda text: {"a": text[-1]}).parse("net1") == "a=1"
    with pytest.raises(UserError, match="read fails: IndexError"):
        Choices({"a": [0, 1]}, read=lambda text: {"a": text[99]}).parse("net1")
    with pytest.raises(UserError, match=r"space.read=no.such cannot be imported"):
        Choices({"a": [0, 1]}, read="no.such")


# --- equal functions ---


def without_width(choices: dict[str, Any]) -> dict[str, Any]:
    return {**choices, "width": 16} if choices["op"] == "skip" else choices


@pytest.mark.parametrize("canonical", [without_width, f"{__name__}.without_width"])
def test_what_is_known_of_equal_functions_is_told_by_a_function(canonical: Any) -> None:
    space = Choices({"op": ["skip", "conv"], "width": [16, 32]}, canonical=canonical)
    assert space.canonical_all(space.enumerate()) == [
        "op=skip,width=16",
        "op=skip,width=16",
        "op=conv,width=16",
        "op=conv,width=32",
    ]
    assert SPACE.canonical("width=64,kind=conv,norm=batch") == "width=64,kind=conv,norm=batch"


# --- counting, drawing at random, changing ---


def by_hand() -> list[dict[str, Any]]:
    """All architectures of `SPACE`."""
    of_block: list[dict[str, Any]] = [{"kernel": 3}, *({"kernel": 5, "expand": e} for e in (1, 2, 4))]
    blocks = [
        [],
        *([b] for b in of_block),
        *([a, b, c] for a in of_block for b in of_block for c in of_block),
    ]
    found = []
    for width in (16, 32, 64):
        for several in blocks if width < 64 else [None]:
            for kind in ("conv", "mbconv"):
                for squeeze in (True, False) if several and kind == "mbconv" else [None]:
                    for norm in (None, "batch"):
                        chosen: dict[str, Any] = {
                            "width": width,
                            "block": several,
                            "kind": kind,
                            "squeeze": squeeze,
                        }
                        found.append({n: v for n, v in chosen.items() if v is not None} | {"norm": norm})
    return found


def test_the_list_holds_each_architecture_once_and_its_size_is_exact() -> None:
    archs = SPACE.enumerate()
    assert len(archs) == len(set(archs)) == SPACE.size
    assert set(archs) == set(map(SPACE.parse, by_hand()))
    assert archs == SPACE.enumerate()
    assert archs == [SPACE._layout.write(SPACE._layout.numbered(number)) for number in range(SPACE.size)]


def test_sampling_is_uniform_over_architectures_whatever_the_conditions() -> None:
    drawn = collections.Counter(SPACE.sample(20 * SPACE.size, torch.Generator().manual_seed(0)))
    assert drawn.keys() <= set(SPACE.enumerate())
    counts = np.array([drawn[arch] for arch in SPACE.enumerate()])
    chi_square = ((counts - 20) ** 2 / 20).sum() / (SPACE.size - 1)
    assert 0.8 < chi_square < 1.2  # its mean is 1, its deviation sqrt(2 / 800)


def test_neighbours_are_one_choice_away_and_lead_everywhere() -> None:
    archs = set(SPACE.enumerate())
    found = {arch: SPACE.neighbours(arch) for arch in archs}
    assert all(
        set(others) <= archs - {arch} and len(set(others)) == len(others) for arch, others in found.items()
    )
    assert (
        sorted(found["width=64,kind=conv,norm=batch"])[:3]
        == [
            "width=16,block=(kernel=3)(kernel=3)(kernel=3),kind=conv,norm=batch",
            "width=32,block=(kernel=3)(kernel=3)(kernel=3),kind=conv,norm=batch",
            "width=64,kind=conv,norm=None",
        ]
        or "width=64,kind=mbconv,norm=batch" in found["width=64,kind=conv,norm=batch"]
    )
    reached, edge = {min(archs)}, [min(archs)]
    while edge:
        edge = [other for arch in edge for other in found[arch] if other not in reached]
        reached |= set(edge)
    assert reached == archs
    flat = Choices({"a": [1, 2, 3], "b": [4, 5]})
    assert flat.neighbours("a=1,b=4") == ["a=2,b=4", "a=3,b=4", "a=1,b=5"]


def test_blocks_come_and_go_wherever_they_stand() -> None:
    space = Choices({"block": Repeated({"k": [1, 2, 3]}, times=[1, 2, 3])})
    resized = [other for other in space.neighbours("block=(k=1)(k=2)") if other.count("(") != 2]
    assert resized == ["block=(k=2)", "block=(k=1)", "block=(k=1)(k=1)(k=2)", "block=(k=1)(k=2)(k=2)"]
    fixed = Choices({"block": Repeated({"k": [1, 2]}, times=2)})
    assert fixed.neighbours("block=(k=1)(k=2)") == ["block=(k=2)(k=2)", "block=(k=1)(k=1)"]


def test_a_space_of_any_size_is_counted_drawn_from_and_changed() -> None:
    space = Choices(
        {
            **{f"op{i}": ["conv", "skip"] for i in range(60)},
            **{f"k{i}": Choice([3, 5, 7], when={f"op{i}": "conv"}) for i in range(60)},
        }
    )
    assert space.size == 4**60
    with pytest.raises(NotImplementedError, match="choices is too large to list; use sample"):
        space.enumerate()
    archs = space.sample(200, torch.Generator().manual_seed(0))
    assert len(set(archs)) == 200
    convs = np.mean([arch.count("=conv") / 60 for arch in archs])
    assert abs(convs - 0.75) < 0.02  # three of the four architectures of an operation have a kernel
    assert len(space.neighbours(archs[0])) > 60
    assert Choices({f"x{i}": list(range(10)) for i in range(12)}).size == 10**12


def test_listing_and_encoding_a_hundred_thousand_takes_seconds() -> None:
    space = Choices({**{f"layer{i}": ["identity", "k3e3", "k5e6"] for i in range(10)}, "width": [16, 32]})
    start = time.process_time()
    archs = space.enumerate()
    graphs = space.encode(archs)
    assert len(graphs) == space.size == 118_098
    assert time.process_time() - start < 10


# --- graphs ---


def test_choices_are_a_chain_of_nodes_and_numbers_are_ranked_beside_it() -> None:
    space = Choices(
        {"w": [16, 64, 32], "block": Repeated({"k": ["a", "b"]}, times=[0, 1, 2]), "end": [True, False]}
    )
    graphs = space.encode(["w=64,block=(k=b),end=False", "w=16,block=(k=a)(k=b),end=True"])
    assert space.num_node_types == 1 + 3 + 2 + 2
    assert graphs.node.tolist() == [[2, 5, 0, 7], [1, 4, 5, 6]]
    assert graphs.mask.tolist() == [[True, True, False, True], [True] * 4]
    assert graphs.adjacency[0].nonzero().tolist() == [[0, 1], [1, 3]]
    assert graphs.adjacency[1].nonzero().tolist() == [[0, 1], [1, 2], [2, 3]]
    # the rank of w, that of the number of blocks, the shares of a and b among the places for blocks
    assert graphs.globals.tolist() == [[1.0, 0.0, 0.0, 0.5], [-1.0, 1.0, 0.5, 0.5]]
    assert len(space.encode([])) == 0


def test_names_with_the_same_values_are_counted_together() -> None:
    space = Choices({"a": [1, 2, 3], "b": [1, 2, 3], "c": ["x", "y"]})
    # the ranks of a and b, the shares of 1, 2 and 3 in both, and the mean rank
    assert space.encode(["a=1,b=3,c=x"]).globals.tolist() == [[-1.0, 1.0, 0.5, 0.0, 0.5, 0.5]]


def test_each_architecture_has_its_own_graph() -> None:
    archs = SPACE.enumerate()
    graphs = SPACE.encode(archs)
    assert int(graphs.node.max()) < SPACE.num_node_types
    assert len(torch.unique(torch.cat([graphs.node.float(), graphs.globals], dim=1), dim=0)) == len(archs)
    for features in (OneHot(SPACE.num_node_types), Counts(SPACE.num_node_types)):
        features.fit(graphs)
        assert len(np.unique(features.rows(graphs), axis=0)) > 0.9 * len(archs) or isinstance(
            features, Counts
        )


# --- networks, costs and pictures ---


def test_networks_are_built_from_the_choices() -> None:
    space = Choices({"width": [8, 16], "act": ["relu", "tanh"]}, build=f"{__name__}.tiny")
    network = space.build("width=8,act=tanh", 10)
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    cost = space.costs(["width=8,act=tanh"], 10, (1, 8, 8))[0]
    assert cost == Cost((65 * 8 + 9 * 10) / 1e6, (65 * 8 + 9 * 10) / 1e6, (64 * 8 + 80) / 1e6)
    with pytest.raises(UserError, match="missing a required argument: 'num_classes'"):
        space.build("width=8,act=tanh")
    with pytest.raises(UserError, match="choices builds no networks: give it build="):
        SPACE.build("width=64,kind=conv,norm=batch", 10)


def test_costs_of_networks_that_read_no_images() -> None:
    def model(dim: int) -> nn.Module:
        return nn.Sequential(nn.Embedding(100, dim), nn.Linear(dim, 100, bias=False))

    tokens = torch.zeros(1, 7, dtype=torch.long)
    space = Choices({"dim": [8, 16]}, build=model, example_input=tokens)
    assert [cost.macs_m for cost in space.costs(["dim=8", "dim=16"])] == [7 * 800 / 1e6, 7 * 1600 / 1e6]
    with pytest.raises(UserError, match="give it example_input="):
        Choices({"dim": [8, 16]}, build=model).costs(["dim=8"])


def test_the_picture_has_a_box_for_each_choice() -> None:
    figure = SPACE.draw("width=16,block=(kernel=3)(kernel=5,expand=4)(kernel=3),kind=conv,norm=None")
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["16", "3", "5", "3", "4", "conv", "None"]
    assert [text.get_position()[0] for text in axes.texts] == pytest.approx(
        [0.47, 0.47, 1.47, 2.47, 1.47, 0.47, 0.47]
    )
    assert [label.get_text() for label in axes.get_yticklabels()][1] == "block.kernel"


def test_the_space_tells_its_choices() -> None:
    assert repr(Choices({"a": [1, 2]})) == "Choices({'a': [1, 2]})"
    one, other = (
        Choices(
            {"a": [1, 2], "b": [1, 2], "n": Repeated({"k": Choice([3, 5], when={name: 1})}, times=[1, 2])}
        )
        for name in "ab"
    )
    assert one.size == other.size and repr(one) != repr(other), "conditions are part of a space"
    assert "'n.k': Choice([3, 5], when={'n': [1, 2], 'a': [1]})" in repr(one)
    mapping = {
        "a": (np.int64(1), 2),
        "b": range(1, 3),
        "n": {"choices": {"k": {"values": [3, 5], "when": {"a": [1]}}}, "times": [2, 1]},
    }
    assert repr(Choices(mapping)) == repr(one), "however it is written"


def test_the_same_space_by_yaml() -> None:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        choices = (
            "{width: [16, 32], block: {choices: {k: [3, 5]}, times: [1, 2]}, rate: [0.1, null], "
            "squeeze: {values: [true, false], when: {width: 32}}}"
        )
        cfg = compose(
            "config", overrides=["space=choices", f"space.choices={choices}", f"space.build={__name__}.tiny"]
        )
    space = instantiate(cfg.space)
    assert space.size == 6 * 2 + 6 * 2 * 2
    space.validate("width=32,block=(k=3)(k=5),rate=None,squeeze=True")
