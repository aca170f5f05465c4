import pickle
from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from acenas.errors import UserError
from acenas.spaces import MobileNet
from acenas.spaces.cost import count_cost
from acenas.spaces.mobilenet.blocks import Operation
from acenas.spaces.mobilenet.network import Skeleton, Stage

SPACE = MobileNet()
SMALL = MobileNet(
    Skeleton((Stage(4, 3, 1), Stage(6, 2, 2)), in_channels=1, stem_channels=4, first_channels=4)
)
NAMES = [*(f"k{k}e{e}" for k, e in product((3, 5, 7), (3, 6))), "skip"]

# AceNAS-M1, as published.
M1_INDICES = (
    "0:0:0:0:1:0:0:0:0:0:1:1:1:1:1:0:1:0:0:0:0:0:1:1:1:1:0:0:0:0:1:0:0:0:1:1:0:0:2:0:1:0:2:1:0:0:1:0:0:1:0:2:0:0:0:2:1:"
    "0:2:1:0:2:0:0:2:0:0:0:2:1:0:0:0"
)
M1 = (
    "k3e6,k3e3,skip,skip:k5e3,k3e3,skip,k5e3:k3e6,skip,k5e3,skip:k7e6,k3e6,k3e6,k7e3:k7e6,k7e6,k7e3,k7e3:k7e6"
)


def archs(space: MobileNet) -> st.SearchStrategy[str]:
    stages = [
        st.tuples(st.sampled_from(NAMES[:-1]), *[st.sampled_from(NAMES)] * (stage.blocks - 1)).map(",".join)
        for stage in space.skeleton.stages
    ]
    return st.tuples(*stages).map(":".join)


def all_small() -> list[str]:
    """Every way to write a network of SMALL, by the grammar."""
    first = [",".join(blocks) for blocks in product(NAMES[:-1], NAMES, NAMES)]
    second = [",".join(blocks) for blocks in product(NAMES[:-1], NAMES)]
    return [":".join(stages) for stages in product(first, second)]


def test_the_published_encoding_of_a_published_network() -> None:
    assert SPACE.from_indices(M1_INDICES) == M1
    assert SPACE.from_indices(SPACE.to_indices(M1)) == M1
    # Only kernel and expansion of skips, which mean nothing, may differ.
    theirs, ours = M1_INDICES.split(":"), SPACE.to_indices(M1).split(":")
    offsets = [3, 6, 9, 12, 16, 19, 22, 25, 29, 32, 35, 38, 42, 45, 48, 51, 55, 58, 61, 64, 68]
    skipped = {place + i for place in offsets for i in (0, 1) if theirs[place + 2] == "1"}
    assert {place for place in range(73) if theirs[place] != ours[place]} <= skipped


@given(archs(SPACE))
def test_the_published_encoding_holds_all_of_an_architecture(arch: str) -> None:
    indices = SPACE.to_indices(arch)
    assert len(indices.split(":")) == 73
    assert SPACE.from_indices(indices) == arch


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        (M1_INDICES[:-2], "72 numbers joined by colons, not 73"),
        (M1_INDICES.replace("0:0:0:0:1", "0:1:0:0:1", 1), "number 1 is '1', and can be 0 to 0"),
        (M1_INDICES.replace("0:0:0:0:1:0", "0:0:0:3:1:0", 1), "number 3 is '3', and can be 0 to 2"),
        (M1_INDICES.replace("0:0:0:0:1:0", "0:0:0:0:1:1", 1), "number 5 is '1', and can be 0 to 0"),
    ],
)
def test_an_encoding_of_another_space_is_named(indices: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        SPACE.from_indices(indices)


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        (M1.rpartition(":")[0], "5 stages joined by colons, not 6"),
        (M1 + ",k3e3", "in stage 6 .*2 blocks joined by commas, not 1"),
        (M1.replace("k5e3", "k5e4"), "unknown block 'k5e4'; known: k3e3, k3e6"),
        (M1.replace("k3e6,k3e3", "skip,k3e3"), "the first block of a stage cannot be skipped"),
    ],
)
def test_what_is_wrong_with_an_architecture_is_named(arch: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        SPACE.validate(arch)


@given(archs(SPACE))
def test_the_canonical_form_is_the_same_sequence_of_blocks_with_skips_last(arch: str) -> None:
    canonical = SPACE.canonical(arch)
    assert SPACE.canonical(canonical) == canonical
    for before, after in zip(arch.split(":"), canonical.split(":"), strict=True):
        left = [name for name in before.split(",") if name != "skip"]
        assert after.split(",") == left + ["skip"] * before.count("skip")


def test_the_number_of_functions_is_that_of_the_sequences() -> None:
    written = all_small()
    assert len(set(SMALL.canonical_all(written))) == (6 + 36 + 216) * (6 + 36)


def test_samples_follow_the_published_prior() -> None:
    counts = Counter(
        (place, name)
        for arch in SPACE.sample(6000, torch.Generator().manual_seed(0))
        for place, name in enumerate(arch.replace(":", ",").split(","))
    )
    for place, name in product(range(21), NAMES):
        fixed = place in (0, 4, 8, 12, 16, 20)
        expected = (0 if fixed else 1 / 2) if name == "skip" else (1 if fixed else 1 / 2) / 6
        deviation = (expected * (1 - expected) / 6000) ** 0.5
        assert counts[place, name] / 6000 == pytest.approx(expected, abs=5 * deviation)


def test_neighbours_are_the_functions_one_choice_away_from_some_way_to_write_it() -> None:
    written = all_small()
    ways: dict[str, list[str]] = {}
    for arch, canonical in zip(written, SMALL.canonical_all(written), strict=True):
        ways.setdefault(canonical, []).append(arch)
    known = set(written)
    for arch in ("k3e6,skip,skip:k5e3,skip", "k3e6,k3e6,skip:k5e3,k7e6", "k3e6,k5e3,k5e3:k5e3,k7e6"):
        expected = set()
        for way in ways[arch]:
            names = way.replace(":", ",").split(",")
            for place, name in product(range(5), NAMES):
                other = [*names[:place], name, *names[place + 1 :]]
                text = ",".join(other[:3]) + ":" + ",".join(other[3:])
                if text in known:
                    expected.add(SMALL.canonical(text))
        found = SMALL.neighbours(arch)
        assert len(found) == len(set(found)) and set(found) == expected - {arch}


def test_a_graph_is_the_chain_of_the_blocks() -> None:
    graphs = SPACE.encode([M1, "k3e3,skip,skip,skip:" * 5 + "k7e6"])
    assert graphs.node.shape == (2, 21)
    assert graphs.node.max() < SPACE.num_node_types == 37
    assert graphs.mask.sum(1).tolist() == [16, 6]
    # k3e6 k3e3 | k5e3 k3e3 k5e3 ...: 1 + 6 * stage + number of the operation.
    assert graphs.node[0, :5].tolist() == [2, 1, 9, 7, 9]
    assert graphs.node[1].tolist() == [1, 7, 13, 19, 25, 36] + [0] * 15
    edges = graphs.adjacency[1].nonzero().tolist()
    assert edges == [[i, i + 1] for i in range(5)]


@given(archs(SMALL))
def test_equal_functions_are_equal_graphs(arch: str) -> None:
    a, b = SMALL.encode([arch]), SMALL.encode([SMALL.canonical(arch)])
    assert torch.equal(a.node, b.node) and torch.equal(a.adjacency, b.adjacency)


def test_costs_are_those_of_the_network() -> None:
    drawn = [M1, *SPACE.sample(1, torch.Generator().manual_seed(1))]
    with torch.device("meta"):
        expected = [count_cost(SPACE.build(arch, 1000), (3, 224, 224)) for arch in drawn]
    np.testing.assert_allclose(SPACE.costs(drawn, 1000, (3, 224, 224)), expected, rtol=1e-9)
    odd = SMALL.sample(4, torch.Generator().manual_seed(1))
    expected = [count_cost(SMALL.build(arch, 3), (1, 9, 7)) for arch in odd]
    np.testing.assert_allclose(SMALL.costs(odd, 3, (1, 9, 7)), expected, rtol=1e-9)


def test_skips_at_the_end_of_a_stage_may_be_left_away() -> None:
    assert SMALL.from_blocks([[Operation(3, 6)], [Operation(5, 3), None]]) == "k3e6,skip,skip:k5e3,skip"


def test_a_picture_can_be_drawn() -> None:
    figure = SPACE.draw(M1)
    assert len(figure.axes[0].patches) == 16


def test_a_space_can_be_sent_to_other_processes() -> None:
    SPACE.costs([M1], 1000, (3, 224, 224))
    there = pickle.loads(pickle.dumps(SPACE))
    assert there.canonical(M1) == SPACE.canonical(M1)
    assert there.costs([M1], 1000, (3, 224, 224)) == SPACE.costs([M1], 1000, (3, 224, 224))


def test_impossible_spaces_are_refused() -> None:
    with pytest.raises(UserError, match="kernel_sizes are odd"):
        MobileNet(kernel_sizes=(3, 4))
    with pytest.raises(UserError, match="at least 1"):
        Skeleton((Stage(8, 0, 1),))
