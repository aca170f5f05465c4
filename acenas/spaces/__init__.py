"""What can be built: grammar, canonical form, sampling, neighbours, graph encoding, network."""

from acenas.spaces.base import SearchSpace
from acenas.spaces.graphs import GraphBatch
from acenas.spaces.labelled_graphs import LabelledGraphs
from acenas.spaces.nasbench101 import NasBench101
from acenas.spaces.nasbench201 import NasBench201

__all__ = ["GraphBatch", "LabelledGraphs", "NasBench101", "NasBench201", "SearchSpace"]
