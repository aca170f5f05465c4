"""The graph network of BRP-NAS, for its ranker and for plain regression (both `acenas.ranker.GraphRanker`)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import DenseGCNConv
from typing_extensions import override

from acenas.ranker import Encoder


class GCNEncoder(Encoder):
    """Graph convolutions, read out at a global node connected to all others (Dudziak et al., arXiv 2007.08668).

    As in the authors' code, a layer is a convolution (Kipf and Welling 2017), LayerNorm, ReLU and dropout.

    Args:
        num_node_types, num_graphs, num_globals: see `Encoder`.
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
        super().__init__(num_node_types, num_graphs, num_globals, hidden_channels, out_channels)
        self.convs = nn.ModuleList(
            DenseGCNConv(num_node_types + 1 if i == 0 else hidden_channels, hidden_channels)
            for i in range(layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(hidden_channels) for _ in range(layers))
        self.dropout = dropout
        self.register_buffer("one_hot", torch.eye(num_node_types + 1), persistent=False)

    @override
    def encode_graphs(self, node: Tensor, adjacency: Tensor, mask: Tensor) -> Tensor:
        # The global node has a type of its own and comes last; the dense layer's rows are targets.
        node, mask = F.pad(node, (0, 1), value=self.num_node_types), F.pad(mask, (0, 0, 0, 1), value=1.0)
        incoming = F.pad(adjacency.transpose(1, 2), (0, 1, 0, 1))
        incoming[:, -1, :-1] = mask[:, :-1, 0]
        hidden = F.embedding(node, self.get_buffer("one_hot")) * mask
        for conv, norm in zip(self.convs, self.norms, strict=True):
            hidden = F.dropout(norm(conv(hidden, incoming, mask)).relu(), self.dropout, self.training) * mask
        return hidden[:, -1]
