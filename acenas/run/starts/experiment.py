"""A training of your own: put yours in the place of this one."""


def train(width: int, depth: int, activation: str) -> float:
    """Returns the loss. What it raises, or NaN, is a failed training, and the search goes on."""
    if activation == "tanh" and depth == 4:
        raise RuntimeError("diverged")
    return 1 / width + (depth - 3) ** 2 / 10 + (activation == "relu") / 20
