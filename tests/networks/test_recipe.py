import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from acenas.errors import UserError
from acenas.networks.recipe import Recipe

RECIPE = Recipe(epochs=10, batch_size=32, learning_rate=0.3, warmup_epochs=2)


def test_the_learning_rate_rises_to_its_highest_and_falls_to_0() -> None:
    rates = [RECIPE.schedule(step, 100) for step in range(100)]
    assert all(a < b for a, b in itertools.pairwise(rates[:21]))
    assert rates[20] == max(rates) == 1
    assert all(a > b for a, b in itertools.pairwise(rates[20:]))
    assert 0 < rates[-1] < 0.001


def test_the_cosine_is_that_of_pytorch() -> None:
    recipe = Recipe(epochs=5, batch_size=1, learning_rate=0.1)
    mine, theirs = (recipe.optimizer([nn.Parameter(torch.zeros(1))]) for _ in range(2))
    scheduler = recipe.scheduler(mine, 50)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, 50)
    for _ in range(50):
        assert mine.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"])
        for optimizer in (mine, theirs):
            optimizer.step()
        scheduler.step()
        reference.step()


def test_another_number_of_epochs_keeps_the_part_of_the_warm_up() -> None:
    short = RECIPE.over(1)
    assert (short.epochs, short.warmup_epochs, short.learning_rate) == (1, 0.2, 0.3)
    assert short.schedule(3, 50) == RECIPE.schedule(3, 50)


def test_the_optimizer_takes_every_value() -> None:
    recipe = Recipe(1, 1, 0.2, momentum=0.8, nesterov=True, weight_decay=0.01)
    options = recipe.optimizer([nn.Parameter(torch.zeros(1))]).defaults
    assert (options["lr"], options["momentum"], options["nesterov"], options["weight_decay"]) == (
        0.2, 0.8, True, 0.01,
    )  # fmt: skip


def test_label_smoothing_mixes_the_target_with_all_classes() -> None:
    logits, labels = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 4
    target = 0.8 * F.one_hot(labels, 4) + 0.2 / 4
    expected = -(target * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(Recipe(1, 1, 0.1, label_smoothing=0.2).loss(logits, labels), expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"warmup_epochs": 10}, "warmup_epochs lies between 0 and below epochs=10"),
        ({"warmup_epochs": -1}, "warmup_epochs lies between"),
        ({"label_smoothing": 1.0}, "label_smoothing lies between 0 and 1"),
        ({"gradient_clip": 0.0}, "gradient_clip must be above 0 or null"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Recipe(**{"epochs": 10, "batch_size": 32, "learning_rate": 0.1, **changes})
