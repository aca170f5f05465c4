"""Trains the network that a search found to its full accuracy, on one device or many, and measures it."""

from acenas.final.module import FinalNetwork
from acenas.final.network import NetworkFacts, TrainedNetwork
from acenas.final.training import FinalTraining

__all__ = ["FinalNetwork", "FinalTraining", "NetworkFacts", "TrainedNetwork"]
