import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from acenas.errors import UserError
from acenas.spaces.cost import count_cost


class Language(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 10)

    def forward(self, tokens: Tensor, scale: int = 1) -> Tensor:
        return self.head(self.embedding(tokens)) * scale  # type: ignore[no-any-return]


class Attention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(x, x, x)


TOKENS = torch.zeros(1, 7, dtype=torch.long)
SEQUENCE = torch.zeros(1, 5, 16)


@pytest.mark.parametrize(
    ("network", "inputs", "macs"),
    [
        (Language(), TOKENS, 7 * 4 * 10 + 7 * 10),
        (Language(), [TOKENS, 2], 7 * 4 * 10 + 7 * 10),
        (Language(), {"tokens": TOKENS}, 7 * 4 * 10 + 7 * 10),
        (Language(), lambda: TOKENS, 7 * 4 * 10 + 7 * 10),
        (nn.Conv1d(2, 4, 3), torch.zeros(1, 2, 10), 8 * 4 * 2 * 3),
        (nn.Conv3d(2, 4, 3), torch.zeros(1, 2, 5, 5, 5), 27 * 4 * 2 * 27),
        (nn.LSTM(8, 16, batch_first=True), torch.zeros(1, 5, 8), 5 * 4 * 16 * (8 + 16)),
        (Attention(), torch.zeros(1, 2, 5, 8), 2 * 2 * 5 * 5 * 8),
        (nn.MultiheadAttention(16, 2, batch_first=True), [SEQUENCE] * 3, 5 * 4 * 16 * 16 + 2 * 5 * 5 * 16),
        (
            nn.TransformerEncoderLayer(16, 2, 32, batch_first=True),
            SEQUENCE,
            5 * (4 * 16 * 16 + 2 * 16 * 32) + 2 * 5 * 5 * 16 + 5 * (32 + 16),
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_multiply_adds_of_any_network_on_any_input(network: nn.Module, inputs: Any, macs: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert round(count_cost(network, inputs).macs_m * 1e6) == macs
    assert network.training
    assert torch.backends.mha.get_fastpath_enabled()


def test_an_input_that_the_network_does_not_read_is_told() -> None:
    with pytest.raises(UserError, match=r"do not read images of 1 x 8 x 8: .* to have 3 channels"):
        count_cost(nn.Conv2d(3, 4, 3), (1, 8, 8))
    with pytest.raises(UserError, match="do not read the example input"):
        count_cost(nn.Conv2d(3, 4, 3), torch.zeros(1, 1, 8, 8))
