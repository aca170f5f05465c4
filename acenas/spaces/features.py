"""Features: graphs as rows of numbers, for rankers that are not graph networks.

Where an architecture has K graphs, each has its own columns. The columns of `GraphBatch.globals` come last.
"""

from abc import ABC, abstractmethod

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from acenas.spaces.graphs import GraphBatch

Rows = NDArray[np.float64]
"""`[n, F]`: the features of n architectures."""


class Features(ABC):
    """Converts a batch of B architectures to rows `[B, F]`. A row depends on its architecture alone.

    Args:
        num_node_types: values of `GraphBatch.node` are below this.
    """

    def __init__(self, num_node_types: int) -> None:
        self.num_node_types = num_node_types

    def fit(self, graphs: GraphBatch) -> None:  # noqa: B027 (nothing to learn is the rule)
        """Chooses the columns by the architectures observed so far, where they are not fixed."""

    @abstractmethod
    def rows(self, graphs: GraphBatch) -> Rows:
        """Returns `[B, F]`, with the same columns for every batch since the last `fit`."""


class OneHot(Features):
    """Adjacency one-hot encoding (White et al., "A study on neural architecture encodings", arXiv 2007.04965).

    One column per position and node type ("no node" is a type too), and one per pair of positions that an edge may
    join. A pair is left out where, in the architectures observed so far, its two nodes alone determine whether there is
    an edge. In NAS-Bench-201, where positions fix the wiring, these are all pairs.

    >>> graphs = GraphBatch(
    ...     torch.tensor([[2, 1]]), torch.zeros(1, 2, 2).bool(), torch.ones(1, 2).bool(), torch.zeros(1, 0)
    ... )
    >>> OneHot(num_node_types=3).rows(graphs)
    array([[0., 0., 1., 0., 1., 0.]])
    """

    def __init__(self, num_node_types: int) -> None:
        super().__init__(num_node_types)
        self._varying: Tensor | None = None
        """`[N, N]` or `[K, N, N]`, bool: the pairs with a column."""

    @override
    def fit(self, graphs: GraphBatch) -> None:
        both_ends = graphs.mask.unsqueeze(-1) & graphs.mask.unsqueeze(-2)
        self._varying = graphs.adjacency.any(dim=0) & (both_ends & ~graphs.adjacency).any(dim=0)

    @override
    def rows(self, graphs: GraphBatch) -> Rows:
        """Returns `[B, F]`; without columns for edges before the first `fit`."""
        types = F.one_hot(graphs.node, self.num_node_types).flatten(start_dim=1)
        if self._varying is None:
            return _joined(types, graphs)
        return _joined(torch.cat([types, graphs.adjacency[:, self._varying]], dim=1), graphs)


class Counts(Features):
    """The number of nodes of each type, and of edges from each type to each. It suits any space.

    It does not depend on the order of the nodes. Architectures that differ only in which nodes of equal types are
    joined have equal rows.

    >>> graphs = GraphBatch(
    ...     torch.tensor([[0, 1]]), torch.tensor([[[0, 1], [0, 0]]]).bool(), torch.ones(1, 2).bool(), torch.zeros(1, 0)
    ... )
    >>> Counts(num_node_types=2).rows(graphs)
    array([[1., 1., 0., 1., 0., 0.]])
    """

    @override
    def rows(self, graphs: GraphBatch) -> Rows:
        types = F.one_hot(graphs.node, self.num_node_types).float() * graphs.mask.unsqueeze(-1)
        edges = types.transpose(-1, -2) @ graphs.adjacency.float() @ types
        counts = torch.cat([types.sum(dim=-2), edges.flatten(start_dim=-2)], dim=-1)
        return _joined(counts.flatten(start_dim=1), graphs)


class Paths(Features):
    """Path encoding (BANANAS, White et al., arXiv 1910.11858, section 3).

    A path runs from a node without predecessors to one without successors and is the sequence of its operations. There
    is a column for each path of the architectures observed so far: 1 where an architecture has the path. As other paths
    have no column, paths of any length can be kept.
    """

    def __init__(self, num_node_types: int) -> None:
        super().__init__(num_node_types)
        self._known = np.zeros(0, dtype=np.int64)

    @override
    def fit(self, graphs: GraphBatch) -> None:
        self._known = np.unique(paths(graphs)[1].numpy())

    @override
    def rows(self, graphs: GraphBatch) -> Rows:
        arch, path = (part.numpy() for part in paths(graphs))
        rows = np.zeros((len(graphs), len(self._known)))
        known = np.isin(path, self._known)
        rows[arch[known], np.searchsorted(self._known, path[known])] = 1.0
        return _joined(torch.from_numpy(rows), graphs)


def paths(graphs: GraphBatch) -> tuple[Tensor, Tensor]:
    """Returns all paths through all graphs, each once per architecture (and per graph, where it has several).

    Args:
        graphs: B architectures without cycles.

    Returns:
        `[P]` long, the architecture of each path, and `[P]` long, a 64-bit hash of the types along it.

    Raises:
        ValueError: for a graph with a cycle.
    """
    node, adjacency, mask = graphs.flat()
    size, graphs_each = node.shape[1], len(node) // max(len(graphs), 1)
    ends = ~adjacency.any(dim=2)

    # All paths grow by one node at a time. Those that are equal so far and end at the same node are kept once.
    graph, at = (mask & ~adjacency.any(dim=1)).nonzero().unbind(1)
    path = _extended(graph % graphs_each, node[graph, at])
    finished = []
    for _ in range(size + 1):
        finished.append(torch.stack([graph, path], dim=1)[ends[graph, at]])
        if len(graph) == 0:
            break
        row, successor = adjacency[graph, at].nonzero().unbind(1)
        longer = _extended(path[row], node[graph[row], successor])
        grown = torch.stack([graph[row], successor, longer], dim=1)
        graph, at, path = torch.unique(grown, dim=0).unbind(1)
    else:
        raise ValueError("a graph has a cycle: it has no path encoding")
    graph, path = torch.unique(torch.cat(finished), dim=0).unbind(1)
    return graph // graphs_each, path


def _extended(path: Tensor, node_type: Tensor) -> Tensor:
    """Returns the hash of a path with one more node: a polynomial in a prime, which wraps around at 64 bits."""
    return path * 1_000_000_007 + node_type + 1


def _joined(columns: Tensor, graphs: GraphBatch) -> Rows:
    """Returns `[B, F]`: the columns `[B, C]`, then the globals."""
    return torch.cat([columns.double(), graphs.globals.double()], dim=1).numpy()
