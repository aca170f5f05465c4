import time
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import nn

from acenas.errors import UserError
from acenas.spaces import (
    NDS,
    Choices,
    GraphBatch,
    LabelledGraphs,
    MobileNet,
    NasBench101,
    NasBench201,
    Repeated,
    SearchSpace,
)


class Letters(SearchSpace):
    """Two letters, one after the other: all that a space must have."""

    name = "letters"
    num_node_types = 4
    node_names = ("", "a", "b", "c")

    def enumerate(self) -> Sequence[str]:
        return ["ab", "bc", "ca"]

    def encode(self, archs: Sequence[str]) -> GraphBatch:
        node = torch.tensor([[self.node_names.index(letter) for letter in arch] for arch in archs])
        edge = torch.tensor([[False, True], [False, False]])
        return GraphBatch(node, edge.expand(len(archs), 2, 2), node > 0, torch.zeros(len(archs), 0))


SPACE = Letters()


def test_a_space_needs_its_architectures_and_their_graphs_alone() -> None:
    drawn = SPACE.sample(200, torch.Generator().manual_seed(0))
    assert set(drawn) == {"ab", "bc", "ca"} and drawn == SPACE.sample(200, torch.Generator().manual_seed(0))
    assert SPACE.parse("bc") == SPACE.canonical("bc") == "bc"
    assert SPACE.canonical_all(["ca", "ab"]) == ["ca", "ab"]
    assert SPACE.distinct(["ab", "ca"]) == [0, 1]
    assert [text.get_text() for text in SPACE.draw("ca").texts] == ["c", "a"]
    for ask in (SPACE.validate, SPACE.parse, SPACE.canonical):
        with pytest.raises(UserError, match="not an architecture of the space letters: 'cb'"):
            ask("cb")


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: SPACE.neighbours("ab"), "knows no neighbours; search it with search=greedy"),
        (lambda: SPACE.build("ab", 10), "builds no networks"),
        (lambda: SPACE.costs(["ab"], 10, (3, 8, 8)), "builds no networks"),
        (lambda: SPACE.build_supernet(10), "has no super-net"),
        (lambda: SPACE.sample_fair(torch.Generator()), "cannot be sampled fairly"),
    ],
)
def test_what_cannot_be_done_without_more_is_an_error(ask: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError, match=f"the space letters {message}"):
        ask()


@pytest.mark.parametrize(
    ("space", "key"),
    [
        (NasBench101(), "space.in_channels"),
        (NasBench201(), "space.in_channels"),
        (NDS("enas"), "space.in_channels"),
        (MobileNet(), "space.skeleton.in_channels"),
    ],
)
def test_images_of_other_channels_are_an_error_that_names_the_key(space: SearchSpace, key: str) -> None:
    space.check_images(10, (3, 32, 32))
    with pytest.raises(UserError, match=rf"read images of 3 channel.*have 1: set {key}=1"):
        space.check_images(10, (1, 32, 32))


def test_networks_of_ones_own_try_an_image() -> None:
    before = torch.get_rng_state()
    Choices({"width": [4]}, build=lambda width: nn.Conv2d(1, width, 3)).check_images(10, (1, 8, 8))
    assert torch.equal(before, torch.get_rng_state())
    with pytest.raises(
        UserError, match=r"space choices and images= do not fit: .*do not read images of 1 x 8 x 8"
    ):
        Choices({"width": [4]}, build=lambda width: nn.Conv2d(3, width, 3)).check_images(10, (1, 8, 8))
    for space in (Letters(), Choices({"width": [4]}), LabelledGraphs()):  # nothing can be built, or drawn
        space.check_images(10, (1, 8, 8))


GRAMMARS: list[tuple[SearchSpace, str]] = [
    (NasBench101(), "010001000:input,conv1x1-bn-relu,output"),
    (NasBench201(), "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|nor_conv_1x1~1|none~2|"),
    (NDS("enas"), "normal=|skip_connect~0|sep_conv_3x3~1|;reduce=;width=16;depth=20"),
    (MobileNet(), "0:0:0"),
    (LabelledGraphs(), "0-1,0-2,1-2:0,4,1;16,20"),
    (
        Choices({"width": [1, 2], "block": Repeated({"kernel": [3, 5]}, times=[1, 2])}),
        "width=1,block=(kernel=3)",
    ),
]
PIECES = (
    "0",
    "a",
    "a=",
    "a=(",
    "(a=",
    "|a~0|+",
    "0-1,",
    "9",
    ":",
    "%",
    "=",
    ",",
    "(",
    ")",
    ";",
    "~",
    "\0",
    "\u0663",
)


@pytest.mark.parametrize(("space", "arch"), GRAMMARS, ids=lambda value: getattr(value, "name", ""))
def test_long_input_is_read_in_linear_time_and_quoted_in_short(space: SearchSpace, arch: str) -> None:
    start = time.process_time()
    for piece in PIECES:
        for text in (piece * 20_000, arch + piece * 20_000, arch.replace("1", piece * 5_000)):
            try:
                space.parse(text)
            except UserError as error:
                assert len(str(error)) < 800
    assert (
        time.process_time() - start < 5
    )  # half a second; a regular expression that tries again takes minutes
