"""Encoders against sparse torch-geometric layers, and what must not change their output."""

from collections.abc import Callable
from typing import TypeVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GCNConv, GraphConv, SortAggregation, global_add_pool
from torch_geometric.utils import add_self_loops, degree

from acenas.ranker.encoders import BidirectionalEncoder, Encoder, PaperEncoder, sort_pooling
from acenas.spaces.graphs import GraphBatch
from tests.ranker.graphs import NUM_NODE_TYPES, padded, permuted, random_dags

KIND = TypeVar("KIND", bound=Encoder)


def make(kind: Callable[..., KIND], num_graphs: int = 1, num_globals: int = 0) -> KIND:
    torch.manual_seed(0)
    encoder = kind(num_node_types=NUM_NODE_TYPES, num_graphs=num_graphs, num_globals=num_globals)
    for parameter in encoder.parameters():  # biases start at 0, where a mistake with them would not show
        nn.init.normal_(parameter, std=0.3)
    return encoder.eval()


both = pytest.mark.parametrize("kind", [PaperEncoder, BidirectionalEncoder])


def sparse_paper_encoder(dense: PaperEncoder, graphs: GraphBatch) -> Tensor:
    """The paper's encoder from sparse layers and a literal 1-d convolution, with `dense`'s weights."""
    batch = graphs.to_pyg()
    hidden = F.one_hot(batch.x, NUM_NODE_TYPES).float()
    edges, _ = add_self_loops(batch.edge_index, num_nodes=len(hidden))
    source, target = (degree(ends, len(hidden))[ends] for ends in edges)
    for layer in dense.convs:
        weights = layer.state_dict()
        conv = GCNConv(*reversed(weights["lin.weight"].shape), normalize=False)
        conv.load_state_dict(weights)
        hidden = conv(hidden, edges, (source * target).rsqrt()).relu()
    k, channels = dense.pooled_nodes, hidden.shape[1]
    pooled = SortAggregation(k)(hidden.sort(dim=1).values, batch.batch)
    first = nn.Conv1d(1, channels // 2, kernel_size=channels, stride=channels)
    first.load_state_dict({"weight": dense.node_map.weight.unsqueeze(1), "bias": dense.node_map.bias})
    out = F.max_pool1d(first(pooled.view(len(graphs), 1, k * channels)).relu(), 2, 2)
    second = nn.Conv1d(channels // 2, channels, dense.kernel_size)
    windows = dense.window_map.weight.view(channels, channels // 2, dense.kernel_size)
    second.load_state_dict({"weight": windows, "bias": dense.window_map.bias})
    fused: Tensor = dense.fuse(second(out).relu().flatten(1))
    return fused


def sparse_bidirectional_encoder(dense: BidirectionalEncoder, graphs: GraphBatch) -> Tensor:
    """Two sparse `GraphConv`s per layer, one for each direction, with `dense`'s weights."""
    batch = graphs.to_pyg()
    channels = dense.embedding.embedding_dim
    hidden = dense.embedding(batch.x)
    for linear, norm in zip(dense.linears, dense.norms, strict=True):
        weight, bias = linear.state_dict()["weight"], linear.state_dict()["bias"]
        own, before, after = torch.split(weight, channels, dim=1)
        down, up = GraphConv(channels, channels), GraphConv(channels, channels)
        down.load_state_dict({"lin_root.weight": own, "lin_rel.weight": before, "lin_rel.bias": bias})
        zeros = {"lin_root.weight": torch.zeros_like(own), "lin_rel.bias": torch.zeros_like(bias)}
        up.load_state_dict({"lin_rel.weight": after, **zeros})
        messages = down(hidden, batch.edge_index) + up(hidden, batch.edge_index.flip(0))
        hidden = hidden + F.relu(norm(messages))
    source, target = batch.edge_index
    enters = (degree(target, len(hidden)) == 0).unsqueeze(1) * hidden
    leaves = (degree(source, len(hidden)) == 0).unsqueeze(1) * hidden
    pooled = torch.cat([global_add_pool(h, batch.batch) for h in (enters, leaves, hidden)], dim=1)
    fused: Tensor = dense.fuse(pooled)
    return fused


def test_paper_encoder_equals_sparse_layers() -> None:
    # Nodes that tie in their largest channel may be pooled in another order by the reference: it has no rule.
    graphs, encoder = random_dags(200), make(PaperEncoder)
    torch.testing.assert_close(encoder(graphs), sparse_paper_encoder(encoder, graphs), rtol=1e-4, atol=1e-4)


def test_bidirectional_encoder_equals_sparse_layers() -> None:
    graphs, encoder = random_dags(50), make(BidirectionalEncoder)
    torch.testing.assert_close(
        encoder(graphs), sparse_bidirectional_encoder(encoder, graphs), rtol=1e-4, atol=1e-4
    )


def test_sort_pooling_equals_torch_geometric() -> None:
    hidden, mask = (
        torch.randn(20, 6, 4),
        (torch.arange(6) < torch.randint(1, 7, (20, 1))).float().unsqueeze(2),
    )
    index = torch.arange(20).repeat_interleave(mask.sum(dim=(1, 2)).long())
    for k in (3, 6, 10):
        expected = SortAggregation(k)(hidden[mask.squeeze(2) == 1], index).view(20, k, 4)
        torch.testing.assert_close(sort_pooling(hidden, mask, k), expected)


@both
def test_order_of_nodes_does_not_matter(kind: type[Encoder]) -> None:
    graphs, encoder = random_dags(100), make(kind)
    other = permuted(graphs, torch.randperm(7))
    torch.testing.assert_close(encoder(graphs), encoder(other), rtol=1e-3, atol=1e-3)


@both
def test_padding_does_not_matter(kind: type[Encoder]) -> None:
    graphs, encoder = random_dags(50), make(kind)
    torch.testing.assert_close(encoder(graphs), encoder(padded(graphs, 3)), rtol=1e-4, atol=1e-4)


@both
def test_direction_of_edges_matters(kind: type[Encoder]) -> None:
    graphs, encoder = random_dags(20), make(kind)
    backwards = GraphBatch(graphs.node, graphs.adjacency.transpose(1, 2), graphs.mask, graphs.globals)
    assert (encoder(graphs) - encoder(backwards)).abs().max() > 0.01


@both
def test_several_graphs_and_globals(kind: type[Encoder]) -> None:
    graphs = random_dags(10, per_arch=2, num_globals=3)
    encoder = make(kind, num_graphs=2, num_globals=3)
    out = encoder(graphs)
    assert out.shape == (10, encoder.out_channels)
    changed = GraphBatch(graphs.node, graphs.adjacency, graphs.mask, graphs.globals + 1)
    assert (encoder(changed) - out).abs().min() > 0, "globals have no influence"
    swapped = GraphBatch(graphs.node.flip(1), graphs.adjacency.flip(1), graphs.mask.flip(1), graphs.globals)
    assert (encoder(swapped) - out).abs().max() > 0.01, "which graph is which has no influence"


@both
def test_each_architecture_is_encoded_alone(kind: type[Encoder]) -> None:
    graphs, encoder = random_dags(10), make(kind)
    torch.testing.assert_close(encoder(graphs)[3:4], encoder(graphs[3:4]), rtol=1e-4, atol=1e-4)
