"""The final training of the network that a search found, on one device or many, and its export."""

from acenas.training.final.card import Origin
from acenas.training.final.export import Export
from acenas.training.final.module import FinalNetwork
from acenas.training.final.network import NetworkFacts, TrainedNetwork
from acenas.training.final.training import FinalTraining

__all__ = ["Export", "FinalNetwork", "FinalTraining", "NetworkFacts", "Origin", "TrainedNetwork"]
