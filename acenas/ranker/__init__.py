"""The ranker: graph encoders, pretraining on weak labels, finetuning on observations, scores."""

from acenas.ranker.encoders import BidirectionalEncoder, Encoder, PaperEncoder
from acenas.ranker.ranker import GraphRanker, Ranker

__all__ = ["BidirectionalEncoder", "Encoder", "GraphRanker", "PaperEncoder", "Ranker"]
