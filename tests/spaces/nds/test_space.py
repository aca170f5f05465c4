import itertools
import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from acenas.errors import UserError
from acenas.seeds import derive_seed
from acenas.spaces import NDS
from acenas.spaces.cost import count_cost
from acenas.spaces.nds.cells import FAMILIES, Architecture, Cell, from_genotype, parse

SPACES = {name: NDS(name) for name in ("darts", "enas", "pnas", "nasnet", "amoeba")}
DARTS_V2: dict[str, Any] = {
    "normal": [
        ["sep_conv_3x3", 0], ["sep_conv_3x3", 1], ["sep_conv_3x3", 0], ["sep_conv_3x3", 1],
        ["sep_conv_3x3", 1], ["skip_connect", 0], ["skip_connect", 0], ["dil_conv_3x3", 2],
    ],
    "normal_concat": [2, 3, 4, 5],
    "reduce": [
        ["max_pool_3x3", 0], ["max_pool_3x3", 1], ["skip_connect", 2], ["max_pool_3x3", 1],
        ["max_pool_3x3", 0], ["skip_connect", 2], ["skip_connect", 2], ["max_pool_3x3", 1],
    ],
    "reduce_concat": [2, 3, 4, 5],
}  # fmt: skip
NASNET_A: dict[str, Any] = {
    "normal": [
        ["sep_conv_5x5", 1], ["sep_conv_3x3", 0], ["sep_conv_5x5", 0], ["sep_conv_3x3", 0], ["avg_pool_3x3", 1],
        ["skip_connect", 0], ["avg_pool_3x3", 0], ["avg_pool_3x3", 0], ["sep_conv_3x3", 1], ["skip_connect", 1],
    ],
    "normal_concat": [2, 3, 4, 5, 6],
    "reduce": [
        ["sep_conv_5x5", 1], ["sep_conv_7x7", 0], ["max_pool_3x3", 1], ["sep_conv_7x7", 0], ["avg_pool_3x3", 1],
        ["sep_conv_5x5", 0], ["skip_connect", 3], ["avg_pool_3x3", 2], ["sep_conv_3x3", 2], ["max_pool_3x3", 1],
    ],
    "reduce_concat": [4, 5, 6],
}  # fmt: skip


def to_genotype(architecture: Architecture) -> dict[str, Any]:
    """The field `genotype` of the official files."""
    genotype: dict[str, Any] = {}
    for key, cell in (("normal", architecture.normal), ("reduce", architecture.reduce)):
        genotype[key] = [list(term) for node in cell.nodes for term in node]
        genotype[f"{key}_concat"] = list(cell.outputs)
    return genotype


@st.composite
def architectures(draw: st.DrawFn) -> tuple[NDS, str]:
    space = SPACES[draw(st.sampled_from(list(SPACES)))]
    seed = draw(st.integers(0, 2**32 - 1))
    return space, space.sample(1, torch.Generator().manual_seed(seed))[0]


# --- grammar ---


@pytest.mark.parametrize(("family", "genotype"), [("darts", DARTS_V2), ("nasnet", NASNET_A)])
def test_published_genotypes_are_architectures(family: str, genotype: dict[str, Any]) -> None:
    arch = SPACES[family].from_genotype(genotype, 36, 20)
    parsed = SPACES[family].architecture(arch)
    assert str(parsed) == arch and (parsed.width, parsed.depth) == (36, 20)
    assert to_genotype(parsed) == genotype
    assert list(parsed.reduce.outputs) == genotype["reduce_concat"]


@given(architectures())
def test_the_string_and_the_official_fields_are_one_another(case: tuple[NDS, str]) -> None:
    space, arch = case
    space.validate(arch)
    parsed = space.architecture(arch)
    assert str(parsed) == arch
    assert space.from_genotype(to_genotype(parsed), parsed.width, parsed.depth) == arch


def changed(**fields: Any) -> dict[str, Any]:
    return {**DARTS_V2, **fields}


@pytest.mark.parametrize(
    ("genotype", "width", "depth", "message"),
    [
        ({"normal": [], "reduce": []}, 16, 20, "has no normal_concat"),
        (changed(normal=DARTS_V2["normal"][:-1]), 16, 20, "normal has 7 operations instead of 8"),
        (changed(reduce=[["conv_1x1", 0], *DARTS_V2["reduce"][1:]]), 16, 20, "reduce: unknown operation 'conv_1x1'"),
        (changed(normal=[["none", 2], *DARTS_V2["normal"][1:]]), 16, 20, "normal: node 0 reads state 2"),
        (changed(normal=[["none", True], *DARTS_V2["normal"][1:]]), 16, 20, "reads state True"),
        (changed(reduce_concat=[3, 4, 5]), 16, 20, r"reduce_concat is \[3, 4, 5\], but DARTS joins all nodes"),
        (changed(reduce_concat=None), 16, 20, "not a genotype of nds_darts"),
        (DARTS_V2, 16.0, 20, "width is 16.0, not a whole number above 0"),
        (DARTS_V2, 16, 2, "depth is 2, but a network has three stages and at least 3 cells"),
    ],
)  # fmt: skip
def test_genotypes_that_are_none_are_errors(
    genotype: dict[str, Any], width: int, depth: int, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        SPACES["darts"].from_genotype(genotype, width, depth)


def test_the_order_of_the_joined_states_is_not_part_of_an_architecture() -> None:
    other = changed(normal_concat=[5, 4, 3, 2])
    assert SPACES["darts"].from_genotype(other, 16, 20) == SPACES["darts"].from_genotype(DARTS_V2, 16, 20)


GOOD = SPACES["darts"].from_genotype(DARTS_V2, 16, 20)


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("", "expected the form normal=CELL;reduce=CELL;width=NUMBER;depth=NUMBER"),
        (GOOD.replace(";depth=20", ""), "expected the form"),
        (GOOD + ";aux=1", "expected the form"),
        (GOOD.replace("width=16", "width=" + 5000 * "1"), "1 is not a whole number from 1 to 999,999,999"),
        (GOOD.replace("width=16", "width=x"), "width=x is not a whole number from 1 to 999,999,999"),
        (GOOD.replace("width=16", "width=016"), "width=016 is not a whole number"),
        (GOOD.replace("depth=20", "depth=2"), "at least 3 cells"),
        (GOOD.replace("+|", "+", 1), "normal: node 1 is 'sep_conv_3x3~0|sep_conv_3x3~1|'; expected the form"),
        (
            GOOD.replace("dil_conv_3x3~2", "dil_conv_3x3~5"),
            "normal: node 3 reads state 5, but may read 0 to 4",
        ),
        (GOOD.replace("dil_conv_3x3~2", "dil_conv_3x3~02"), "node 3 reads state '02'"),
        (GOOD.replace("dil_conv_3x3~2", "dil_conv_3x3"), "node 3 reads state ''"),
        (GOOD.replace("dil_conv_3x3", "conv"), "normal: unknown operation 'conv'; known: none, max_pool_3x3"),
        (
            GOOD.replace("width=16", "width=18"),
            "its width 18 is none of 16, 24, 32; set space.widths to have it",
        ),
        (GOOD.replace("depth=20", "depth=5"), "its depth 5 is none of 4, 8, 12, 16, 20; set space.depths"),
    ],
)
def test_errors_say_what_is_wrong(arch: str, message: str) -> None:
    with pytest.raises(UserError, match="not an architecture of") as caught:
        SPACES["darts"].validate(arch)
    assert message in str(caught.value)


def test_arguments_out_of_range_are_errors() -> None:
    for arguments, message in (
        ({"family": "resnet"}, "family is darts, enas"),
        ({"stem": "mnist"}, "stem is cifar or imagenet"),
        ({"widths": (24, 16)}, "widths must be ascending"),
        ({"widths": (15,)}, "widths must be even"),
        ({"depths": (2, 4)}, "depths must be ascending numbers from 3 on"),
        ({"variant": "cifar100"}, "variant is cifar10, cifar10_fixed or imagenet, not 'cifar100'"),
    ):
        with pytest.raises(UserError, match=message):
            NDS(**{"family": "darts", **arguments})  # type: ignore[arg-type]


def test_variants_are_those_of_the_benchmark() -> None:
    sizes = {
        (family, variant): (len(space.widths), len(space.depths), space.stem)
        for family in SPACES
        for variant in ("cifar10", "cifar10_fixed", "imagenet")
        for space in [NDS(family, variant)]  # type: ignore[arg-type]
    }
    assert sizes["darts", "cifar10"] == (3, 5, "cifar") and sizes["enas", "cifar10_fixed"] == (1, 1, "cifar")
    widths = {"darts": 5, "enas": 4, "pnas": 4, "nasnet": 3, "amoeba": 4}
    assert {f: sizes[f, "imagenet"] for f in widths} == {f: (n, 5, "imagenet") for f, n in widths.items()}
    of_both = NDS("pnas", "imagenet", widths=(16, 18), stem="cifar")
    assert (of_both.widths, of_both.depths, of_both.stem) == ((16, 18), (6, 10, 14, 18, 22), "cifar")


# --- equal functions ---


def reordered(cell: Cell, order: tuple[int, ...]) -> Cell | None:
    """The cell whose node i is node `order[i]`; None where a node would read a later one."""
    number = {0: 0, 1: 1, **{old + 2: new + 2 for new, old in enumerate(order)}}
    nodes: Any = tuple(tuple((name, number[state]) for name, state in cell[old]) for old in order)
    fits = all(state < node + 2 for node, inputs in enumerate(nodes) for _, state in inputs)
    return nodes if fits else None


def ways(cell: Cell) -> list[Cell]:
    return [way for order in itertools.permutations(range(len(cell))) if (way := reordered(cell, order))]


def written(space: NDS, normal: Cell, reduce: Cell, width: int, depth: int) -> str:
    return str(Architecture(space.family.graph(normal), space.family.graph(reduce), width, depth))


@settings(max_examples=30, deadline=None)
@given(architectures(), st.randoms(use_true_random=False))
def test_the_canonical_form_is_that_of_all_ways_to_write_an_architecture(
    case: tuple[NDS, str], rng: random.Random
) -> None:
    space, arch = case
    whole, canonical = space.architecture(arch), space.canonical(arch)
    space.validate(canonical)
    assert space.canonical(canonical) == canonical
    assert space.architecture(canonical).width == whole.width
    for _ in range(5):
        normal, reduce = rng.choice(ways(whole.normal.nodes)), rng.choice(ways(whole.reduce.nodes))
        if rng.random() < 0.5:
            normal = tuple((second, first) for first, second in normal)
        assert space.canonical(written(space, normal, reduce, whole.width, whole.depth)) == canonical
    for cell in (space.architecture(canonical).normal.nodes, space.architecture(canonical).reduce.nodes):
        assert cell == min(ways(cell), key=lambda way: key(way, space)), "the first of all"


def key(cell: Cell, space: NDS) -> list[list[tuple[int, int]]]:
    operations = space.family.operations
    return [sorted((state, operations.index(name)) for name, state in inputs) for inputs in cell]


def test_cells_have_one_canonical_form_exactly_where_they_are_reordered() -> None:
    """Every cell of two nodes and two operations, told apart by brute force."""
    family = FAMILIES["enas"].__class__("tiny", "Tiny", ("none", "skip_connect"), 2, "all")
    space = NDS("darts")
    space.family = family
    cells = [
        ((a, b), (c, d))
        for a, b in itertools.product(itertools.product(family.operations, range(2)), repeat=2)
        for c, d in itertools.product(itertools.product(family.operations, range(3)), repeat=2)
    ]

    def classes(cell: Cell) -> frozenset[Any]:
        # What `none` reads is nothing: any order of the others is allowed, so it is cut first.
        cut: Any = tuple(
            tuple((name, 0 if name == "none" else state) for name, state in inputs) for inputs in cell
        )
        return frozenset(str(key(way, space)) for way in ways(cut))

    forms: dict[str, set[frozenset[Any]]] = {}
    for cell in cells:
        forms.setdefault(space.canonical(written(space, cell, cells[0], 16, 4)), set()).add(classes(cell))
    assert all(len(same) == 1 for same in forms.values())
    assert len(forms) == len(set().union(*forms.values()))


def by_operation(space: NDS, arch: str) -> nn.Module:
    """The network of `arch` with weights that know of an operation only its name, and of a channel nothing."""
    network, graphs = space.build(arch, 3), space.architecture(arch)
    for name, parameter in network.named_parameters():
        parts = name.split(".")
        if "operations" in parts:
            node, input_ = map(int, parts[3])
            graph = graphs.reduce if network.get_submodule(".".join(parts[:2])).reduction else graphs.normal
            parts[3] = graph.nodes[node][input_][0]
        generator = torch.Generator().manual_seed(derive_seed(0, *parts))
        of_states = parameter.dim() > 1 and ("head" in name or "project" in name)
        like = parameter[:, :1] if of_states else parameter
        parameter.data.copy_(torch.randn(like.shape, generator=generator).expand(parameter.shape))
    return network.double()


@pytest.mark.parametrize("family", ["darts", "nasnet"])
def test_the_canonical_form_computes_the_same_function(family: str) -> None:
    space = NDS(family, widths=(2,), depths=(4,), in_channels=1)  # type: ignore[arg-type]
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    archs = space.sample(3, torch.Generator().manual_seed(0))
    logits = [by_operation(space, arch)(images) for arch in archs]
    for arch, found in zip(archs, logits, strict=True):
        assert arch != space.canonical(arch)
        torch.testing.assert_close(by_operation(space, space.canonical(arch))(images), found)
        assert space.costs([arch], 3, (1, 8, 8)) == space.costs([space.canonical(arch)], 3, (1, 8, 8))
    assert not torch.allclose(logits[0], logits[1]), "and others another one"


# --- sampling and neighbours ---


def test_sampling_draws_every_choice_uniformly_and_independently() -> None:
    space = SPACES["enas"]
    drawn = space.sample(3000, torch.Generator().manual_seed(0))
    assert drawn == space.sample(3000, torch.Generator().manual_seed(0)) and len(set(drawn)) == 3000
    whole = [space.architecture(arch) for arch in drawn]

    def uniform(values: list[Any], size: int) -> None:
        counts = Counter(values)
        expected = len(values) / size
        statistic = sum((count - expected) ** 2 / expected for count in counts.values())
        assert len(counts) == size and statistic < size + 5 * (2 * size) ** 0.5

    uniform([(arch.width, arch.depth) for arch in whole], 15)
    for cells in ([arch.normal.nodes for arch in whole], [arch.reduce.nodes for arch in whole]):
        for node in range(5):
            uniform([cell[node][0] for cell in cells], 5 * (node + 2))
            uniform([(cell[node][0][0], cell[node][1][0]) for cell in cells], 25)
            uniform([cell[node][1][1] for cell in cells], node + 2)
    uniform([(arch.normal.nodes[4][1], arch.reduce.nodes[4][1][1]) for arch in whole], 5 * 6 * 6)
    assert space.sample(0, torch.Generator()) == []


@settings(max_examples=20, deadline=None)
@given(architectures())
def test_neighbours_differ_in_one_choice(case: tuple[NDS, str]) -> None:
    space, arch = case

    def choices(other: str) -> list[Any]:
        whole = space.architecture(other)
        cells = [
            choice
            for cell in (whole.normal, whole.reduce)
            for node in cell.nodes
            for term in node
            for choice in term
        ]
        return [*cells, whole.width, whole.depth]

    neighbours, nodes, own = space.neighbours(arch), space.family.nodes, choices(arch)
    operations = 4 * nodes * (len(space.family.operations) - 1)
    assert len(neighbours) == len(set(neighbours)) == operations + 2 * nodes * (nodes + 1) + 2 + 4
    for other in random.Random(0).sample(neighbours, 10):
        space.validate(other)
        assert sum(a != b for a, b in zip(own, choices(other), strict=True)) == 1


def test_the_space_is_too_large_to_list() -> None:
    with pytest.raises(NotImplementedError, match="too large to list"):
        SPACES["darts"].enumerate()


# --- graphs, networks, pictures ---


def decoded(node: Tensor, adjacency: Tensor, space: NDS) -> Counter[Any]:
    """The cell that a graph shows, as the sum nodes with what they sum and the output, from its leaves on."""
    size = len(node)

    def written(at: int) -> Any:
        sources = [written(source) for source in range(size) if adjacency[source, at]]
        return int(node[at]), tuple(sorted(sources, key=repr))

    return Counter(written(at) for at in range(size) if node[at] == 4 or node[at] == 3)


def expected(cell: Cell, space: NDS) -> Counter[Any]:
    states: list[Any] = [(1, ()), (2, ())]
    for inputs in cell:
        terms = [
            (5 + space.family.operations.index(name), (states[state],))
            for name, state in inputs
            if name != "none"
        ]
        states.append((4, tuple(sorted(terms, key=repr))))
    read = {state for inputs in cell for _, state in inputs}
    joined = [value for i, value in enumerate(states[2:], 2) if space.family.output == "all" or i not in read]
    return Counter([*states[2:], (3, tuple(sorted(joined, key=repr)))])


@settings(max_examples=20, deadline=None)
@given(architectures())
def test_the_graphs_show_both_cells_without_loss(case: tuple[NDS, str]) -> None:
    space, arch = case
    graphs, whole = (
        space.encode([GOOD if space.name == "nds_darts" else arch, arch]),
        space.architecture(arch),
    )
    size = 3 * space.family.nodes + 3
    assert graphs.node.shape == (2, 2, size) and graphs.node.max() < space.num_node_types
    assert torch.equal(graphs.mask, graphs.node > 0)
    assert not (graphs.adjacency & ~(graphs.mask.unsqueeze(-1) & graphs.mask.unsqueeze(-2))).any()
    assert not torch.tril(graphs.adjacency).any() or space.canonical(arch) != arch
    for k, cell in enumerate((whole.normal.nodes, whole.reduce.nodes)):
        assert decoded(graphs.node[1, k], graphs.adjacency[1, k], space) == expected(cell, space)
    assert graphs.globals[1].tolist() == [whole.width / 8 - 3, whole.depth / 8 - 1.5]


def test_globals_reach_from_one_end_of_the_space_to_the_other() -> None:
    (arch,) = NDS("pnas", widths=(16,), depths=(20,)).sample(1, torch.Generator())
    assert NDS("pnas", widths=(16,), depths=(20,)).encode([arch]).globals.tolist() == [[0, 0]]
    assert SPACES["pnas"].encode([arch]).globals.tolist() == [[-1, 1]]
    assert SPACES["pnas"].encode([]).node.shape == (0, 2, 18)


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_costs_are_those_of_the_networks(stem: str) -> None:
    for family in ("darts", "nasnet"):
        space = NDS(family, widths=(2, 4), depths=(3, 5), stem=stem)  # type: ignore[arg-type]
        archs = space.sample(2, torch.Generator().manual_seed(0))
        expected_costs = [count_cost(space.build(arch, 7), (3, 40, 36)) for arch in archs]
        np.testing.assert_allclose(space.costs(archs, 7, (3, 40, 36)), expected_costs, rtol=1e-12)


def test_a_network_of_nothing_is_not_connected() -> None:
    nothing = "|none~0|none~1|"
    before = "|skip_connect~0|none~1|"
    space = SPACES["darts"]

    def arch(normal: str, reduce: str) -> str:
        return f"normal={normal}+{'+'.join([nothing] * 3)};reduce={reduce}+{'+'.join([nothing] * 3)};width=16;depth=4"

    assert not space.connected(arch(nothing, before))
    assert not space.connected(arch(before, nothing))
    # Four cells that read two back: the last one sees the second, which sees the stem.
    assert space.connected(arch(before, before))
    assert all(SPACES["enas"].connected(arch) for arch in SPACES["enas"].sample(20, torch.Generator()))


def test_the_picture_has_both_cells() -> None:
    figure = SPACES["darts"].draw(GOOD)
    texts = [text.get_text() for text in figure.texts]
    first, second = texts.index("normal cell"), texts.index("reduction cell")
    assert first == 1 and texts[0] == "width 16, depth 20"
    assert Counter(texts[first + 1 : second]) == {
        "in, two before": 1, "in, last": 1, "sep 3×3": 5, "skip": 2, "dil 3×3": 1, "+": 4, "out": 1,
    }  # fmt: skip
    assert len(figure.artists) == 2 * (8 + 8 + 4)


def test_parsing_does_not_mix_up_families() -> None:
    with pytest.raises(UserError, match="normal has 8 operations instead of 10, two for each of 5 nodes"):
        parse(FAMILIES["pnas"], GOOD)
    with pytest.raises(UserError, match="not a genotype of nds_nasnet"):
        from_genotype(FAMILIES["nasnet"], DARTS_V2, 16, 20)
