"""Encoders: from a batch of graphs to one vector per architecture.

Every encoder maps a `GraphBatch` of B architectures to `[B, out_channels]`, independent of the order of a graph's
nodes and of its padding. Where an architecture has K graphs, all pass the same layers, and their vectors are
concatenated, together with the features in `GraphBatch.globals`.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from acenas.errors import require_at_least
from acenas.ranker.settings import LARGEST
from acenas.spaces.graphs import GraphBatch

if TYPE_CHECKING:
    from torch_geometric.nn import DenseGCNConv


class Encoder(nn.Module, ABC):
    """Encodes each graph, concatenates the vectors of an architecture with its global features, and maps them to one.

    A ranker calls the subclass with `num_node_types` (values of `GraphBatch.node` are below this), `num_graphs` and
    `num_globals`.

    Args:
        num_graphs: K, graphs per architecture.
        num_globals: G, columns of `GraphBatch.globals`.
        graph_channels: size of one graph's vector.
        out_channels: size of an architecture's vector.
    """

    def __init__(self, num_graphs: int, num_globals: int, graph_channels: int, out_channels: int) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.fuse = nn.Linear(num_graphs * graph_channels + num_globals, out_channels)

    @abstractmethod
    def encode_graphs(self, node: Tensor, adjacency: Tensor, mask: Tensor) -> Tensor:
        """Returns one vector per graph, `[B, graph_channels]`.

        Args:
            node: `[B, N]`, long.
            adjacency: `[B, N, N]`, float, 1 from source (row) to target (column).
            mask: `[B, N, 1]`, float, 1 where there is a node.
        """

    def forward(self, graphs: GraphBatch) -> Tensor:
        """Returns the vectors of the architectures, `[B, out_channels]`, float."""
        node, adjacency, mask = graphs.flat()
        graph = self.encode_graphs(node, adjacency.float(), mask.unsqueeze(2).float())
        joined = torch.cat([graph.reshape(len(graphs), -1), graphs.globals], dim=1)
        return self.fuse(joined)  # type: ignore[no-any-return]


def convolutions(num_node_types: int, hidden_channels: int, layers: int) -> nn.ModuleList:
    """Returns graph convolutions (Kipf and Welling 2017), the first on one-hot node types."""
    from torch_geometric.nn import DenseGCNConv  # slow, and the default encoder has none

    channels = [num_node_types, *[hidden_channels] * layers]
    return nn.ModuleList(itertools.starmap(DenseGCNConv, itertools.pairwise(channels)))


def _check_sizes(**sizes: int) -> None:
    """Raises `UserError` where a size of an encoder makes no network, or one that no machine holds."""
    require_at_least(1, "ranker.encoder.", LARGEST, **sizes)


class PaperEncoder(Encoder):
    """The encoder of AceNAS (arXiv 2108.03001, section 4.1): graph convolutions, sort pooling, 1-d convolutions.

    A convolution passes messages along the edges and from each node to itself, divided by the root of the degrees on
    both sides: edges out of the source, and into the target. Sort pooling, as in the authors' code, sorts the channels
    within each node, then orders the nodes by their largest one, highest first, and keeps the first `pooled_nodes`,
    filled up with zeros. (Zhang et al., AAAI 2018, and torch-geometric's `SortAggregation` leave the channels as they
    are.)

    Args:
        num_node_types: values of `GraphBatch.node` are below this.
        num_graphs: per architecture.
        num_globals: columns of `GraphBatch.globals`.
        hidden_channels: of every graph convolution.
        layers: graph convolutions.
        pooled_nodes: nodes that sort pooling keeps.
        kernel_size: of the second 1-d convolution, over pairs of pooled nodes.
        out_channels: size of the fused vector.
    """

    def __init__(
        self,
        num_node_types: int,
        num_graphs: int = 1,
        num_globals: int = 0,
        hidden_channels: int = 64,
        layers: int = 4,
        pooled_nodes: int = 10,
        kernel_size: int = 5,
        out_channels: int = 128,
    ) -> None:
        _check_sizes(hidden_channels=hidden_channels, layers=layers, out_channels=out_channels)
        graph_channels = (pooled_nodes // 2 - kernel_size + 1) * hidden_channels
        super().__init__(num_graphs, num_globals, graph_channels, out_channels)
        self.pooled_nodes, self.kernel_size = pooled_nodes, kernel_size
        self.convs = convolutions(num_node_types, hidden_channels, layers)
        # 1-d convolutions as linear maps of their windows, which is several times faster for so few of them: the
        # first spans the channels of one node, the second `kernel_size` maxima over pairs of nodes.
        self.node_map = nn.Linear(hidden_channels, hidden_channels // 2)
        self.window_map = nn.Linear(hidden_channels // 2 * kernel_size, hidden_channels)
        self.register_buffer("one_hot", torch.eye(num_node_types), persistent=False)

    @override
    def encode_graphs(self, node: Tensor, adjacency: Tensor, mask: Tensor) -> Tensor:
        hidden = F.embedding(node, self.get_buffer("one_hot")) * mask
        # Normalised once for all layers, targets as rows and sources as columns.
        incoming = adjacency.mT + torch.eye(adjacency.shape[1], device=adjacency.device)
        messages = (
            incoming * incoming.sum(dim=2, keepdim=True).rsqrt() * incoming.sum(dim=1, keepdim=True).rsqrt()
        )
        for conv in cast("Iterable[DenseGCNConv]", self.convs):
            assert conv.bias is not None
            hidden = torch.baddbmm(conv.bias, messages, conv.lin(hidden)).relu() * mask
        pooled = self.node_map(sort_pooling(hidden.sort(dim=2).values, mask, self.pooled_nodes)).relu()
        pairs = F.max_pool1d(pooled.transpose(1, 2), kernel_size=2)
        windows = pairs.unfold(2, self.kernel_size, 1).transpose(1, 2)  # [B, windows, channels, kernel_size]
        return self.window_map(windows.flatten(2)).relu().flatten(1)  # type: ignore[no-any-return]


def sort_pooling(hidden: Tensor, mask: Tensor, k: int) -> Tensor:
    """Sorts the nodes by their last channel, highest first, and keeps the first `k`; fills up with zeros.

    Takes `[B, N, C]` and a mask `[B, N, 1]`, 1 where there is a node; returns `[B, k, C]`. Equal last channels are
    ordered by the other channels, so that the result does not depend on the order of the nodes.

    >>> sort_pooling(torch.tensor([[[5.0, 0.1], [6.0, 0.7]]]), torch.ones(1, 2, 1), k=3)
    tensor([[[6.0000, 0.7000],
             [5.0000, 0.1000],
             [0.0000, 0.0000]]])
    """
    # After a ReLU many last channels are 0. A tie-breaker far below float32's resolution orders such nodes.
    key = hidden.detach().double()
    weights = torch.linspace(0.5, 1.0, key.shape[2], dtype=torch.float64, device=key.device)
    key = key[:, :, -1] + 1e-9 * (key @ weights)
    key = key.masked_fill(mask[:, :, 0] == 0, -torch.inf)
    order = key.argsort(dim=1, descending=True)[:, :k]
    kept = torch.gather(hidden * mask, 1, order.unsqueeze(2).expand(-1, -1, hidden.shape[2]))
    return F.pad(kept, (0, 0, 0, k - kept.shape[1]))


class GCNEncoder(Encoder):
    """The encoder of BRP-NAS: graph convolutions, read out at a global node (Dudziak et al., arXiv 2007.08668).

    All others are connected to the global node. As in the authors' code, a layer is a convolution, LayerNorm, ReLU and
    dropout.

    Args:
        num_node_types: values of `GraphBatch.node` are below this.
        num_graphs: per architecture.
        num_globals: columns of `GraphBatch.globals`.
        hidden_channels: of every layer; 600 in the paper.
        layers: graph convolutions.
        dropout: after every layer, between 0 and 1.
        out_channels: size of an architecture's vector.
    """

    def __init__(
        self,
        num_node_types: int,
        num_graphs: int = 1,
        num_globals: int = 0,
        hidden_channels: int = 128,
        layers: int = 4,
        dropout: float = 0.2,
        out_channels: int = 128,
    ) -> None:
        _check_sizes(hidden_channels=hidden_channels, layers=layers, out_channels=out_channels)
        super().__init__(num_graphs, num_globals, hidden_channels, out_channels)
        self.convs = convolutions(num_node_types + 1, hidden_channels, layers)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden_channels) for _ in range(layers))
        self.dropout = dropout
        self.register_buffer("one_hot", torch.eye(num_node_types + 1), persistent=False)

    @override
    def encode_graphs(self, node: Tensor, adjacency: Tensor, mask: Tensor) -> Tensor:
        # The global node has a type of its own and comes last; the dense layer's rows are targets.
        one_hot = self.get_buffer("one_hot")
        node, mask = F.pad(node, (0, 1), value=len(one_hot) - 1), F.pad(mask, (0, 0, 0, 1), value=1.0)
        incoming = F.pad(adjacency.transpose(1, 2), (0, 1, 0, 1))
        incoming[:, -1, :-1] = mask[:, :-1, 0]
        hidden = F.embedding(node, one_hot) * mask
        for conv, norm in zip(self.convs, self.norms, strict=True):
            hidden = F.dropout(norm(conv(hidden, incoming, mask)).relu(), self.dropout, self.training) * mask
        return hidden[:, -1]


class BidirectionalEncoder(Encoder):
    """Residual message passing along and against the edges; pools the inputs, the outputs, and all nodes.

    A layer is `h + ReLU(LayerNorm(W [h, sum over predecessors, sum over successors]))`: torch-geometric's
    `DenseGraphConv` in both directions (Rossi et al., "Edge directionality improves learning", 2023) as one matrix
    product. Sums distinguish one edge from two, which a normalised convolution does not; messages against the edges say
    to each operation how its output is used. The vector of a graph concatenates the sums over nodes without
    predecessors, over nodes without successors, and over all nodes.

    Args:
        num_node_types: values of `GraphBatch.node` are below this.
        num_graphs: per architecture.
        num_globals: columns of `GraphBatch.globals`.
        hidden_channels: channels of every layer.
        layers: of message passing. Information crosses the graph if this is at least the length of its longest path.
        out_channels: size of an architecture's vector.
    """

    def __init__(
        self,
        num_node_types: int,
        num_graphs: int = 1,
        num_globals: int = 0,
        hidden_channels: int = 32,
        layers: int = 3,
        out_channels: int = 64,
    ) -> None:
        _check_sizes(hidden_channels=hidden_channels, layers=layers, out_channels=out_channels)
        super().__init__(num_graphs, num_globals, 3 * hidden_channels, out_channels)
        self.embedding = nn.Embedding(num_node_types, hidden_channels)
        self.linears = nn.ModuleList(nn.Linear(3 * hidden_channels, hidden_channels) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(hidden_channels) for _ in range(layers))
        self.register_buffer("one_hot", torch.eye(num_node_types), persistent=False)

    @override
    def encode_graphs(self, node: Tensor, adjacency: Tensor, mask: Tensor) -> Tensor:
        (batch, size), channels = node.shape, self.embedding.embedding_dim
        # A node reads nodes of three kinds: itself, its predecessors, its successors. Each source says something to
        # each kind, `[B, N, 3 * C]`; as rows `[B, 3 * N, C]` of what is said, a layer's three sums are one product.
        itself = torch.eye(size, device=adjacency.device).expand_as(adjacency)
        reads = torch.stack([itself, adjacency.mT, adjacency], dim=3).flatten(2)
        one_hot = F.embedding(node, self.get_buffer("one_hot")).flatten(0, 1)
        hidden = one_hot @ self.embedding.weight
        for layer, (linear, norm) in enumerate(zip(self.linears, self.norms, strict=True)):
            weight = cast(Tensor, linear.weight).view(-1, 3, channels).transpose(0, 1).flatten(0, 1)
            # All nodes of a type say the same in the first layer.
            says = F.linear(hidden, weight) if layer else one_hot @ F.linear(self.embedding.weight, weight)
            heard = torch.baddbmm(cast(Tensor, linear.bias), reads, says.view(batch, 3 * size, channels))
            hidden = hidden + norm(heard).relu().flatten(0, 1)
        # Padding reads and is read by nothing, and is left out here.
        enters, leaves = adjacency.sum(dim=1) == 0, adjacency.sum(dim=2) == 0
        pooled = torch.stack([enters, leaves, torch.ones_like(enters)], dim=1) * mask.mT
        return (pooled @ hidden.view(batch, size, channels)).flatten(1)
