"""Architectures as graphs in dense tensors: what spaces make and rankers read."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch_geometric.data import Batch  # a second to import, for those who convert


@dataclass(frozen=True)
class GraphBatch:
    """B architectures, each a graph of at most N nodes (or K graphs, where a space has several cells).

    Attributes:
        node: `[B, N]` or `[B, K, N]`, long. The operation of each node, 0 where there is no node.
        adjacency: `[B, N, N]` or `[B, K, N, N]`, bool. `adjacency[..., source, target]`.
        mask: `[B, N]` or `[B, K, N]`, bool. True where there is a node.
        globals: `[B, G]`, float. Features of the whole architecture; G may be 0.

    Raises:
        ValueError: where the shapes do not belong together.
    """

    node: Tensor
    adjacency: Tensor
    mask: Tensor
    globals: Tensor

    def __post_init__(self) -> None:
        shape = self.node.shape
        if (
            self.node.dim() not in (2, 3)
            or self.adjacency.shape != (*shape, shape[-1])
            or self.mask.shape != shape
            or self.globals.dim() != 2
            or self.globals.shape[0] != shape[0]
        ):
            raise ValueError(
                "shapes of a GraphBatch do not agree: "
                + ", ".join(f"{f.name} {tuple(getattr(self, f.name).shape)}" for f in fields(self))
            )

    def __len__(self) -> int:
        return self.node.shape[0]

    def __getitem__(self, index: Tensor | slice) -> GraphBatch:
        """Returns the architectures at `index` (a slice, or a long or bool tensor)."""
        return GraphBatch(self.node[index], self.adjacency[index], self.mask[index], self.globals[index])

    def split(self, size: int) -> list[GraphBatch]:
        """Returns the batch in parts of `size` architectures, the last of what is left."""
        parts = (torch.split(getattr(self, f.name), size) for f in fields(self))
        return list(itertools.starmap(GraphBatch, zip(*parts, strict=True)))

    def to(self, device: torch.device | str) -> GraphBatch:
        """Returns the batch on `device`."""
        return GraphBatch(*(getattr(self, f.name).to(device) for f in fields(self)))

    @staticmethod
    def of(
        graphs: Sequence[tuple[Sequence[int], Iterable[tuple[int, int]]]],
        size: int,
        features: Tensor,
        graphs_each: int | None = None,
    ) -> GraphBatch:
        """Makes a batch of graphs of at most `size` nodes; a node of type 0 is none.

        Args:
            graphs: for each graph the types of its nodes, and its edges (source, target).
            size: N.
            features: `[B, G]`, the globals.
            graphs_each: K, graphs of each architecture, which follow one another; None for `[B, N]`.
        """
        node = torch.tensor([[*types, *[0] * (size - len(types))] for types, _ in graphs], dtype=torch.long)
        edges = [(row, *edge) for row, (_, edges) in enumerate(graphs) for edge in edges]
        adjacency = torch.zeros(len(graphs), size, size, dtype=torch.bool)
        adjacency[torch.tensor(edges, dtype=torch.long).reshape(-1, 3).unbind(1)] = True
        shape = (-1, size) if graphs_each is None else (-1, graphs_each, size)
        node = node.reshape(shape)
        return GraphBatch(node, adjacency.reshape(*shape, size), node > 0, features)

    @staticmethod
    def cat(batches: list[GraphBatch]) -> GraphBatch:
        """Joins batches of the same N (and K)."""
        return GraphBatch(*(torch.cat([getattr(b, f.name) for b in batches]) for f in fields(GraphBatch)))

    def flat(self) -> tuple[Tensor, Tensor, Tensor]:
        """Returns node, adjacency and mask of all graphs, `[B * K, ...]`."""
        size = self.node.shape[-1]
        adjacency = self.adjacency.reshape(-1, size, size)
        return self.node.reshape(-1, size), adjacency, self.mask.reshape(-1, size)

    def to_pyg(self) -> Batch:
        """Converts to a torch-geometric `Batch` of `Data(x [n] long, edge_index, globals [1, G])`.

        Graph k of architecture b becomes item `b * K + k`, with the globals of b.
        """
        from torch_geometric.data import Batch, Data
        from torch_geometric.utils import dense_to_sparse

        node, adjacency, mask = self.flat()
        graphs_each = len(node) // max(len(self), 1)
        data = []
        for i, keep in enumerate(mask):
            edge_index, _ = dense_to_sparse(adjacency[i][keep][:, keep].long())
            data.append(
                Data(x=node[i][keep], edge_index=edge_index, globals=self.globals[i // graphs_each][None])
            )
        return Batch.from_data_list(data)

    @staticmethod
    def from_pyg(batch: Batch, *, size: int | None = None, graphs_each: int = 1) -> GraphBatch:
        """Reverses `to_pyg`; pads to `size` nodes, by default those of the largest graph."""
        from torch_geometric.utils import to_dense_adj, to_dense_batch

        node, mask = to_dense_batch(batch.x, batch.batch, max_num_nodes=size)
        adjacency = to_dense_adj(batch.edge_index, batch.batch, max_num_nodes=node.shape[1]) > 0
        features = batch.globals[::graphs_each]
        if graphs_each > 1:
            node, adjacency, mask = (part.unflatten(0, (-1, graphs_each)) for part in (node, adjacency, mask))
        return GraphBatch(node, adjacency, mask, features)
