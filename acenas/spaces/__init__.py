"""What can be built: grammar, canonical form, sampling, neighbours, graph encoding, network."""

from acenas.spaces.base import SearchSpace
from acenas.spaces.graphs import GraphBatch
from acenas.spaces.labelled_graphs import LabelledGraphs
from acenas.spaces.mobilenet import MobileNet
from acenas.spaces.nasbench101 import NasBench101
from acenas.spaces.nasbench201 import NasBench201
from acenas.spaces.nds import NDS

__all__ = ["NDS", "GraphBatch", "LabelledGraphs", "MobileNet", "NasBench101", "NasBench201", "SearchSpace"]
