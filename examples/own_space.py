"""A space of one's own: small convolutional networks, trained on scikit-learn's digits for a few epochs."""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import acenas


def build(width: int, activation: str, layers: list[dict[str, int]]) -> nn.Module:
    """The network of an architecture: acenas counts its parameters and multiply-adds, and pretrains on them."""
    act = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}[activation]
    blocks: list[nn.Module] = [nn.Conv2d(1, width, 3, padding=1), act()]
    for layer in layers:
        blocks += [nn.Conv2d(width, width, layer["kernel"], padding="same", groups=layer["groups"]), act()]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, 10))


SPACE = acenas.Choices(
    {
        "width": [8, 16, 24],
        "activation": ["relu", "gelu", "tanh"],
        "layers": acenas.Repeated({"kernel": [1, 3, 5], "groups": [1, 4]}, times=[1, 2, 3]),
    },
    build,
    example_input=torch.zeros(1, 1, 8, 8),
)


def digits() -> tuple[Tensor, Tensor]:
    """`[1797, 1, 8, 8]` images between 0 and 1, and their classes."""
    images, classes = load_digits(return_X_y=True)
    order = torch.randperm(len(classes), generator=torch.Generator().manual_seed(0))
    return torch.tensor(images / 16).float().reshape(-1, 1, 8, 8)[order], torch.tensor(classes)[order]


def train(**choices: object) -> float:
    """Trains one network; returns its accuracy on images that it has not seen, in percent."""
    torch.manual_seed(0)
    (images, classes), network = digits(), build(**choices)  # type: ignore[arg-type]
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(3):
        for batch in torch.randperm(1400).split(100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images[batch]), classes[batch]).backward()
            optimizer.step()
    right = network.eval()(images[1400:]).argmax(1) == classes[1400:]
    return 100 * float(right.float().mean())


if __name__ == "__main__":
    study = acenas.search(SPACE, train, budget=9, folder="lab")
    print(study.returned)
    print(study.front("params_m"))
    print(study.report())
