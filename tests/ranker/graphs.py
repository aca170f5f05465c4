"""Small random graphs, and accuracies that can be learned from them."""

from types import SimpleNamespace
from typing import cast

import torch
from torch import Tensor

from acenas.spaces import GraphBatch, SearchSpace
from acenas.spaces.features import OneHot

NUM_NODE_TYPES = 6
SPACE = cast(SearchSpace, SimpleNamespace(num_node_types=NUM_NODE_TYPES, features=OneHot))
"""All that a ranker reads of a space."""


def random_dags(
    count: int, *, size: int = 7, per_arch: int = 1, num_globals: int = 0, seed: int = 0
) -> GraphBatch:
    """Directed acyclic graphs of 2 to `size` nodes of types 1 to 5, padded to `size`; globals of unit variance."""
    generator = torch.Generator().manual_seed(seed)
    shape = (count,) if per_arch == 1 else (count, per_arch)
    mask = torch.arange(size) < torch.randint(2, size + 1, (*shape, 1), generator=generator)
    node = torch.randint(1, NUM_NODE_TYPES, (*shape, size), generator=generator) * mask
    edges = torch.rand(*shape, size, size, generator=generator) < 0.6
    adjacency = edges.triu(diagonal=1) & mask.unsqueeze(-1) & mask.unsqueeze(-2)
    return GraphBatch(node, adjacency, mask, torch.randn(count, num_globals, generator=generator))


def accuracies_of(graphs: GraphBatch) -> Tensor:
    """`[B]`, percent, all different: more nodes of type 5 and more edges are better."""
    fives = (graphs.node == 5).sum(dim=-1).float()
    edges = graphs.adjacency.sum(dim=(-1, -2)).float()
    return 60 + 3 * fives + 0.5 * edges + 0.01 * torch.arange(len(graphs)) / len(graphs)


def permuted(graphs: GraphBatch, order: Tensor) -> GraphBatch:
    """The same graphs with their nodes in another order."""
    return GraphBatch(
        graphs.node[..., order],
        graphs.adjacency[..., order, :][..., order],
        graphs.mask[..., order],
        graphs.globals,
    )


def padded(graphs: GraphBatch, extra: int) -> GraphBatch:
    """The same graphs with room for `extra` more nodes."""
    pad = torch.nn.functional.pad
    return GraphBatch(
        pad(graphs.node, (0, extra)),
        pad(graphs.adjacency, (0, extra, 0, extra)),
        pad(graphs.mask, (0, extra)),
        graphs.globals,
    )
