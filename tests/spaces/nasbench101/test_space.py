import hashlib
import itertools
import math
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acenas.errors import UserError
from acenas.spaces import GraphBatch, NasBench101
from acenas.spaces.nasbench101 import space as module
from acenas.spaces.nasbench101.cells import OPERATIONS, all_cells
from acenas.spaces.nasbench101.grammar import write
from acenas.spaces.nasbench101.hashes import md5

SPACE = NasBench101()
SMALL = write(all_cells(5))
CONV1, CONV3, POOL = OPERATIONS[1], OPERATIONS[0], OPERATIONS[2]


def written(size: int, edges: list[tuple[int, int]], *inner: str) -> str:
    matrix = np.zeros((size, size), np.bool_)
    for edge in edges:
        matrix[edge] = True
    return SPACE.from_cell(matrix, ["input", *inner, "output"])


INCEPTION = written(
    7,
    [(0, 1), (0, 2), (0, 3), (0, 5), (1, 6), (2, 6), (3, 4), (4, 6), (5, 6)],
    *(CONV1, CONV3, CONV3, CONV3, POOL),
)


@cache
def sample() -> "dict[str, list[object]]":
    folder = os.environ.get("ACENAS_DATA")
    if not folder or not (Path(folder) / "nb101-sample.parquet").exists():
        pytest.skip("ACENAS_DATA names no folder with nb101-sample.parquet")
    content: dict[str, list[object]] = pq.read_table(Path(folder) / "nb101-sample.parquet").to_pydict()
    return content


@st.composite
def cells(draw: st.DrawFn) -> str:
    """Written cells of 2 to 7 vertices, many of which need pruning."""
    size = draw(st.integers(2, 7))
    pairs = list(itertools.combinations(range(size), 2))
    edges = draw(st.lists(st.sampled_from(pairs), max_size=11, unique=True))
    matrix = np.zeros((size, size), np.bool_)
    for edge in edges:
        matrix[edge] = True
    operations = ["input", *(draw(st.sampled_from(OPERATIONS)) for _ in range(size - 2)), "output"]
    arch = "".join("01"[digit] for digit in matrix.ravel().astype(int)) + ":" + ",".join(operations)
    try:
        SPACE.validate(arch)
    except UserError:
        return written(2, [(0, 1)])
    return arch


@pytest.mark.parametrize(
    ("arch", "expected"),
    [
        (written(2, [(0, 1)]), "043721b9c7fe8c5fad811d47d83132ec"),
        (written(3, [(0, 1), (1, 2)], CONV3), "b49ac8c578b4561d79ac7087988f1c61"),
        (written(3, [(0, 1), (1, 2), (0, 2)], CONV3), "d32d0b26d534203b48d866facd98cc3e"),
        (written(3, [(0, 1), (1, 2)], POOL), "53cee42601ad14d661bb6878031d6acb"),
        (INCEPTION, "28cfc7874f6d200472e1a9dcd8650aa0"),
    ],
)
def test_hash_equals_the_official_one(arch: str, expected: str) -> None:
    assert SPACE.official_hash(arch) == expected
    assert SPACE.hash_all([arch]) == [expected]


def test_every_cell_of_the_sample_has_its_official_hash_and_a_canonical_form_of_its_own() -> None:
    archs = [str(arch) for arch in sample()["arch"]]
    assert SPACE.hash_all(archs) == sample()["module_hash"]
    canonical = SPACE.canonical_all(archs)
    assert len(set(canonical)) == len(archs)
    assert SPACE.hash_all(canonical) == sample()["module_hash"]


def test_networks_have_the_published_parameters() -> None:
    """Also where 3 vertices share 128 channels: which of them is wider is that of the order that was trained."""
    archs = [str(arch) for arch in sample()["arch"]]
    uneven = [row for row, arch in enumerate(archs) if SPACE.cell(arch)[0][1:, -1].sum() == 3]
    rng = np.random.default_rng(0)
    for row in [*rng.choice(uneven, 40, replace=False), *rng.choice(len(archs), 20, replace=False)]:
        assert parameters_m(archs[row]) == sample()["cifar10.params_m"][row]


def parameters_m(arch: str) -> float:
    with torch.device("meta"):
        return sum(p.numel() for p in SPACE.build(arch, 10).parameters()) / 1e6


def orders(arch: str) -> Iterator[str]:
    """`arch` and then all ways to write it."""
    matrix, operations = SPACE.cell(arch)
    size = len(operations)
    for inner in itertools.permutations(range(1, size - 1)):
        order = [0, *inner, size - 1]
        if not np.tril(matrix[np.ix_(order, order)]).any():
            yield SPACE.from_cell(matrix[np.ix_(order, order)], [operations[v] for v in order])


def test_cells_of_up_to_5_vertices_are_those_that_the_official_hash_tells_apart() -> None:
    assert Counter(arch.count(",") + 1 for arch in SMALL) == {2: 1, 3: 6, 4: 84, 5: 2441}
    assert len(set(SPACE.hash_all(SMALL))) == len(SMALL)


def test_enumeration_finds_what_plain_loops_find() -> None:
    """All matrices and operations of up to 4 vertices, pruned and told apart by the official hash."""
    found = set()
    for size in (2, 3, 4):
        for digits in itertools.product("01", repeat=size * size):
            for inner in itertools.product(OPERATIONS, repeat=size - 2):
                if any(digits[i * size + j] == "1" for i in range(size) for j in range(i + 1)):
                    break
                try:
                    found.add(
                        SPACE.official_hash("".join(digits) + ":" + ",".join(["input", *inner, "output"]))
                    )
                except UserError:
                    break
    assert found == set(SPACE.hash_all([arch for arch in SMALL if arch.count(",") < 4]))


@pytest.mark.slow
def test_the_whole_space_with_its_hashes_within_a_minute_and_from_the_cache_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    start = time.process_time()
    space = NasBench101()
    archs, hashes = space.enumerate(), space.official_hashes()
    assert time.process_time() - start < 60
    assert len(archs) == len(set(archs)) == len(set(hashes)) == 423_624
    assert Counter(arch.count(",") + 1 for arch in archs) == {
        2: 1,
        3: 6,
        4: 84,
        5: 2441,
        6: 62010,
        7: 359_082,
    }
    (cached,) = tmp_path.rglob("*.bin")
    monkeypatch.setattr(module, "official_hashes", None)
    assert NasBench101().official_hashes() == hashes
    start = time.process_time()
    graphs = space.encode(archs)
    assert time.process_time() - start < 5
    assert len(graphs) == len(archs)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cached.write_bytes(b"\0" * cached.stat().st_size)
    monkeypatch.setattr(module, "official_hashes", lambda codes: np.zeros((len(codes), 16), np.uint8))
    assert set(NasBench101().official_hashes()) == {"0" * 32}, "a damaged cache is not used"


@given(cells(), st.randoms(use_true_random=False))
def test_the_canonical_form_is_a_function_of_the_graph(arch: str, rng: random.Random) -> None:
    canonical = SPACE.canonical(arch)
    assert SPACE.canonical(canonical) == canonical
    assert SPACE.official_hash(canonical) == SPACE.official_hash(arch)
    others = list(itertools.islice(orders(arch), 30))
    assert set(SPACE.canonical_all(rng.sample(others, min(5, len(others))))) == {canonical}


@given(cells())
def test_pruning_keeps_what_lies_on_a_way(arch: str) -> None:
    matrix, operations = SPACE.cell(arch)
    assert len(matrix) == len(operations) <= arch.count(",") + 1
    assert matrix.sum() <= 9 and matrix[:-1].any(1).all() and matrix[:, 1:].any(0).all()
    assert not np.tril(matrix).any()


def test_the_canonical_form_depends_on_operations_and_edges() -> None:
    assert len(set(SPACE.canonical_all(SMALL))) == len(SMALL)


def test_neighbours_are_one_change_away_and_lead_everywhere() -> None:
    reached = {SMALL[0]}
    while True:
        found = {other for arch in reached for other in SPACE.neighbours(arch) if other.count(",") < 4}
        if found <= reached:
            break
        reached |= found
    assert len(reached) == 91, "all cells of up to 4 vertices"
    assert SPACE.neighbours(SMALL[0]) == [
        arch for arch in SMALL if arch.count(",") == 2 and arch.startswith("011")
    ], "the cell without vertices: one can be set beside its edge"


@settings(max_examples=15, deadline=None)
@given(cells())
def test_neighbours_are_distinct_canonical_cells(arch: str) -> None:
    neighbours = SPACE.neighbours(arch)
    assert len(set(neighbours)) == len(neighbours) > 0
    assert SPACE.canonical_all(neighbours) == neighbours
    assert SPACE.canonical(arch) not in neighbours
    same_edges = [
        other for other in neighbours if other.partition(":")[0] == SPACE.canonical(arch).partition(":")[0]
    ]
    assert len(same_edges) <= 2 * (SPACE.canonical(arch).count(",") - 1)


def test_uniform_sampling_is_uniform_and_reproducible(monkeypatch: pytest.MonkeyPatch) -> None:
    space = NasBench101()
    monkeypatch.setattr(space, "_archs", SMALL[:91])
    drawn = space.sample(9100, torch.Generator().manual_seed(0))
    counts = np.array([Counter(drawn)[arch] for arch in SMALL[:91]])
    assert ((counts - 100) ** 2 / 100).sum() < 150  # chi squared with 90 degrees of freedom: p < 1e-4
    assert drawn == space.sample(9100, torch.Generator().manual_seed(0))


def test_published_sampling_weights_vertices_by_powers_of_two() -> None:
    space = NasBench101(distribution="published")
    drawn = space.sample(1000, torch.Generator().manual_seed(0))
    sizes = Counter(arch.count(",") + 1 for arch in drawn)
    for size in range(2, 8):
        expected = 1000 * 2**size / 252
        assert abs(sizes[size] - expected) < 4 * expected**0.5
    assert SPACE.canonical_all(drawn) == drawn
    assert space.sample(0, torch.Generator()) == []


def test_encoding_is_the_graph_of_the_canonical_cell() -> None:
    graphs = SPACE.encode([*SMALL[:20], INCEPTION])
    assert isinstance(graphs, GraphBatch)
    assert (
        graphs.node.shape == (21, 7)
        and graphs.adjacency.shape == (21, 7, 7)
        and graphs.globals.shape == (21, 0)
    )
    for i, arch in enumerate([*SMALL[:20], SPACE.canonical(INCEPTION)]):
        matrix, operations = SPACE.cell(arch)
        size = len(operations)
        types = [1, *(3 + OPERATIONS.index(name) for name in operations[1:-1]), 2, *[0] * (7 - size)]
        assert graphs.node[i].tolist() == types
        assert graphs.mask[i].tolist() == [kind > 0 for kind in types]
        assert (graphs.adjacency[i, :size, :size].numpy() == matrix).all()
        assert graphs.adjacency[i].sum() == matrix.sum()
    assert len(SPACE.encode([])) == 0


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("", "found 0"),
        ("010001000:input,output", "expected 3 operations"),
        ("0100:input,conv", "end with output"),
        ("0x00:input,output", "digits other than 0 and 1"),
        ("0110:input,output", "edge 1 → 0 leads backwards"),
        ("0000:input,output", "no path leads"),
        ("010001000:input,conv5x5,output", "unknown operation 'conv5x5'"),
        ("0" * 64 + ":input,output", "found 64"),
        (
            "".join("1" if j > i and (i, j) != (0, 4) else "0" for i in range(5) for j in range(5))
            + ":input,maxpool3x3,maxpool3x3,maxpool3x3,output",
            "",
        ),
        (
            "".join("1" if j > i else "0" for i in range(5) for j in range(5))
            + ":input,maxpool3x3,maxpool3x3,maxpool3x3,output",
            "it has 10 edges",
        ),
    ],
)
def test_errors_say_what_is_wrong(arch: str, message: str) -> None:
    if not message:
        SPACE.validate(arch)
        return
    with pytest.raises(UserError, match="not a NAS-Bench-101 cell") as caught:
        SPACE.validate(arch)
    assert message in str(caught.value)


def test_costs_are_those_of_the_network() -> None:
    space = NasBench101(channels=8, cells_per_stage=1, stages=2, in_channels=1)
    (cost,) = space.costs([INCEPTION], 10, (1, 8, 8))
    network = space.build(INCEPTION, 10)
    assert cost.params_m == sum(p.numel() for p in network.parameters()) / 1e6
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_the_picture_has_every_vertex_and_edge() -> None:
    figure = SPACE.draw(INCEPTION)
    assert len(figure.artists) == 9
    assert Counter(text.get_text() for text in figure.texts) == {
        "in": 1, "out": 1, "conv 3×3": 3, "conv 1×1": 1, "max pool 3×3": 1,
    }  # fmt: skip


@given(st.integers(0, 200), st.integers(0, 2**32 - 1))
def test_md5_equals_hashlib(length: int, seed: int) -> None:
    messages = np.random.default_rng(seed).integers(0, 256, (3, length), dtype=np.uint8)
    assert [bytes(row) for row in md5(messages)] == [hashlib.md5(bytes(row)).digest() for row in messages]


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float32", "float64", "complex64", "object"])
def test_an_adjacency_of_any_type_is_read(dtype: str) -> None:
    matrix = np.array([[0, 1, 1], [0, 0, 1], [0, 0, 0]]).astype(dtype)
    names = ["input", "conv1x1-bn-relu", "output"]
    assert SPACE.from_cell(matrix, names) == "011001000:input,conv1x1-bn-relu,output"
    assert SPACE.from_cell(matrix.tolist(), names) == SPACE.from_cell(matrix, names)


@pytest.mark.parametrize("wrong", [-1, 0.999, 2, math.nan, math.inf, "1", None, 10**30])
def test_an_entry_that_is_neither_0_nor_1_is_named(wrong: Any) -> None:
    matrix = np.array([[0, 1, wrong], [0, 0, 1], [0, 0, 0]], dtype=object)
    with pytest.raises(UserError, match=r"entry \(0, 2\) of the adjacency is .*, not 0 or 1"):
        SPACE.from_cell(matrix, ["input", "conv1x1-bn-relu", "output"])


@pytest.mark.parametrize("matrix", [[[0, 1, 1], [0, 0, 1]], [0, 1, 0, 0], 1, [[[0]]], [[0, 1], [0]]])
def test_an_adjacency_is_a_square_matrix(matrix: Any) -> None:
    with pytest.raises(UserError, match="the adjacency is"):
        SPACE.from_cell(matrix, ["input", "output"])
