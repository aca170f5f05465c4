"""Weak labels by weight sharing: sampling of paths, training of the super-net, scoring of paths."""

from acenas.supernet.module import Supernet
from acenas.supernet.sampling import FairPaths, PathSampler, UniformPaths
from acenas.supernet.scoring import Scoring, score_paths
from acenas.supernet.training import SupernetTraining

__all__ = [
    "FairPaths",
    "PathSampler",
    "Scoring",
    "Supernet",
    "SupernetTraining",
    "UniformPaths",
    "score_paths",
]
