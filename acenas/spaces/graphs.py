"""Architectures as graphs in dense tensors: what spaces make and rankers read."""

from __future__ import annotations

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

    def to(self, device: torch.device | str) -> GraphBatch:
        """Returns the batch on `device`."""
        return GraphBatch(*(getattr(self, f.name).to(device) for f in fields(self)))

    @staticmethod
    def cat(batches: list[GraphBatch]) -> GraphBatch:
        """Joins batches of the same N (and K)."""
        return GraphBatch(*(torch.cat([getattr(b, f.name) for b in batches]) for f in fields(GraphBatch)))

    def to_pyg(self) -> Batch:
        """Converts to a torch-geometric `Batch` of `Data(x [n] long, edge_index, globals [1, G])`.

        Graph k of architecture b becomes item `b * K + k`, with the globals of b.
        """
        from torch_geometric.data import Batch, Data
        from torch_geometric.utils import dense_to_sparse

        size = self.node.shape[-1]
        node, mask = self.node.reshape(-1, size), self.mask.reshape(-1, size)
        adjacency = self.adjacency.reshape(-1, size, size)
        graphs_each = node.shape[0] // max(len(self), 1)
        data = []
        for i in range(node.shape[0]):
            keep = mask[i]
            edge_index, _ = dense_to_sparse(adjacency[i][keep][:, keep].long())
            row = self.globals[i // graphs_each : i // graphs_each + 1]
            data.append(Data(x=node[i][keep], edge_index=edge_index, globals=row))
        return Batch.from_data_list(data)

    @staticmethod
    def from_pyg(batch: Batch, *, size: int | None = None, graphs_each: int = 1) -> GraphBatch:
        """Reverses `to_pyg`; pads to `size` nodes, by default those of the largest graph."""
        items = batch.to_data_list()
        size = size or max(item.num_nodes for item in items)
        node = torch.zeros(len(items), size, dtype=torch.long)
        adjacency = torch.zeros(len(items), size, size, dtype=torch.bool)
        mask = torch.zeros(len(items), size, dtype=torch.bool)
        for i, item in enumerate(items):
            node[i, : item.num_nodes] = item.x
            mask[i, : item.num_nodes] = True
            adjacency[i, item.edge_index[0], item.edge_index[1]] = True
        features = torch.cat([item.globals for item in items[::graphs_each]])
        if graphs_each > 1:
            groups = len(items) // graphs_each
            node, mask = node.view(groups, graphs_each, size), mask.view(groups, graphs_each, size)
            adjacency = adjacency.view(groups, graphs_each, size, size)
        return GraphBatch(node, adjacency, mask, features)
