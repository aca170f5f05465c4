"""A small transformer that reads Python's standard library: depth, width, heads and MLP ratios, for perplexity."""

import math
import sysconfig
from pathlib import Path

import torch
from torch import Tensor, nn

import acenas

LENGTH = 64
FILES = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:60]
HELD_OUT, TRAINED = torch.tensor(list(b"".join(file.read_bytes() for file in FILES))).split(200_000)[:2]


class Transformer(nn.Module):
    """Predicts the next byte."""

    def __init__(self, width: int, heads: int, layers: list[dict[str, int]]) -> None:
        super().__init__()
        self.bytes, self.places = nn.Embedding(256, width), nn.Embedding(LENGTH, width)
        make = nn.TransformerEncoderLayer
        self.layers = nn.ModuleList(make(width, heads, each["mlp"] * width, 0.0) for each in layers)
        self.head = nn.Linear(width, 256)

    def forward(self, text: Tensor) -> Tensor:
        """Returns logits `[B, T, 256]` for bytes `[B, T]`."""
        mask, x = nn.Transformer.generate_square_subsequent_mask(LENGTH), self.bytes(text)
        x = (x + self.places.weight).transpose(0, 1)
        for layer in self.layers:
            x = layer(x, src_mask=mask)
        return self.head(x.transpose(0, 1))  # type: ignore[no-any-return]


def loss(network: nn.Module, text: Tensor, generator: torch.Generator) -> Tensor:
    """Of a batch of pieces drawn from `text`."""
    places = torch.randint(len(text) - LENGTH - 1, (16, 1), generator=generator) + torch.arange(LENGTH + 1)
    pieces = text[places]
    return nn.functional.cross_entropy(network(pieces[:, :-1]).flatten(0, 1), pieces[:, 1:].flatten())


def train(**choices: object) -> float:
    """Trains one transformer; returns its perplexity for each byte of text that it has not read."""
    generator, network = torch.manual_seed(0), Transformer(**choices)  # type: ignore[arg-type]
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        loss(network, TRAINED, generator).backward()
        optimizer.step()
    return math.exp(sum(float(loss(network.eval(), HELD_OUT, generator).detach()) for _ in range(10)) / 10)


if __name__ == "__main__":
    layers = acenas.Repeated({"mlp": [1, 2, 4]}, [1, 2, 3])
    choices = {"width": [32, 48, 64], "heads": [2, 4, 8], "layers": layers}
    space = acenas.Choices(choices, Transformer, example_input=torch.zeros(1, LENGTH, dtype=torch.long))
    more = {"objective": "min perplexity", "constraints": {"params_m": 0.1}}
    print(acenas.search(space, train, 9, "lab", **more).front("params_m"))
