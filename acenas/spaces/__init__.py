"""What can be built: grammar, canonical form, sampling, neighbours, graph encoding, network."""

from acenas.spaces.base import SearchSpace
from acenas.spaces.choices import Choice, Choices, Repeated
from acenas.spaces.graphs import GraphBatch
from acenas.spaces.labelled_graphs import LabelledGraphs
from acenas.spaces.mobilenet.space import MobileNet
from acenas.spaces.nasbench101.space import NasBench101
from acenas.spaces.nasbench201.space import NasBench201
from acenas.spaces.nds.space import NDS
from acenas.spaces.operation_graphs import Graphs

__all__ = [
    "NDS",
    "Choice",
    "Choices",
    "GraphBatch",
    "Graphs",
    "LabelledGraphs",
    "MobileNet",
    "NasBench101",
    "NasBench201",
    "Repeated",
    "SearchSpace",
]
