"""Find the best architectures of a search space with as few trained networks as possible (arXiv 2108.03001)."""

__version__ = "0.2.0"
