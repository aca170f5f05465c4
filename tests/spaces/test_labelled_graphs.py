import pytest
import torch

from acenas.errors import UserError
from acenas.spaces import LabelledGraphs

TWO = LabelledGraphs(tags=6, nodes=4, graphs=2)


def test_graphs_are_written_and_encoded() -> None:
    arch = LabelledGraphs.write([([(1, 2), (0, 1), (0, 2)], [0, 5, 1]), ([], [3])], [16, -0.5])
    assert arch == "0-1,0-2,1-2:0,5,1/:3;16,-0.5"
    graphs = TWO.encode([arch, arch])
    assert graphs.node.tolist() == [[[1, 6, 2, 0], [4, 0, 0, 0]]] * 2
    assert graphs.mask.sum().item() == 8
    assert graphs.adjacency[0].nonzero().tolist() == [[0, 0, 1], [0, 0, 2], [0, 1, 2]]
    torch.testing.assert_close(graphs.globals, torch.tensor([[17.0, 1 / 1.5]]).log().repeat(2, 1))
    assert TWO.canonical(arch) == arch
    assert LabelledGraphs().encode(["0-1:0,1"]).globals.shape == (1, 0)
    drawn = [text.get_text() for text in TWO.draw(arch).texts]
    assert drawn == ["16, -0.5", "0", "5", "1", "graph 2", "3"]


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("0-1", "expected edges:tags"),
        ("0-1:0,x", "invalid literal"),
        ("1-0:0,1", "edge 1-0 does not lead"),
        ("0-2:0,1", "edge 0-2 does not lead"),
        ("0-1:0,-1", "a tag is below 0"),
        ("0-1:0,1;x", "could not convert"),
    ],
)
def test_errors_say_what_is_wrong(arch: str, message: str) -> None:
    with pytest.raises(UserError, match=f"not a graph with tags: .*{message}"):
        TWO.validate(arch)


@pytest.mark.parametrize("arch", [":1", "0-1:0,6/:1", "0-1:0,1,1,1,1/:1"])
def test_what_does_not_fit_the_space_is_an_error(arch: str) -> None:
    with pytest.raises(UserError, match=r"told space.graphs=2 space.nodes=4 space.tags=6"):
        TWO.encode([arch])
    with pytest.raises(UserError, match="has 1 hyper-parameters"):
        TWO.encode([":1/:1", ":1/:1;2"])


def test_what_only_networks_can_do_is_an_error() -> None:
    with pytest.raises(UserError, match="nothing but graphs is known"):
        TWO.sample(1, torch.Generator())
    with pytest.raises(UserError, match="knows no neighbours"):
        TWO.neighbours(":1/:1")
    with pytest.raises(UserError, match="builds no networks"):
        TWO.build(":1/:1", 10)
