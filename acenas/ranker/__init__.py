"""The ranker: graph encoders, pretraining on weak labels, finetuning on observations, scores."""

from acenas.ranker.encoders import BidirectionalEncoder, Encoder, GCNEncoder, PaperEncoder
from acenas.ranker.ranker import GraphRanker, Ranker
from acenas.ranker.settings import Finetuning, Pretraining, Prior

__all__ = [
    "BidirectionalEncoder",
    "Encoder",
    "Finetuning",
    "GCNEncoder",
    "GraphRanker",
    "PaperEncoder",
    "Pretraining",
    "Prior",
    "Ranker",
]
