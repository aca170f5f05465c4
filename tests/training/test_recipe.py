import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from acenas.errors import UserError
from acenas.training.recipe import Recipe, RMSPropRecipe

RECIPE = Recipe(epochs=10, batch_size=32, learning_rate=0.3, warmup_epochs=2)


def test_the_learning_rate_rises_to_its_highest_and_falls_to_0() -> None:
    rates = [RECIPE.schedule(step, 100) for step in range(100)]
    assert all(a < b for a, b in itertools.pairwise(rates[:21]))
    assert rates[20] == max(rates) == 1
    assert all(a > b for a, b in itertools.pairwise(rates[20:]))
    assert 0 < rates[-1] < 0.001


def test_the_cosine_is_that_of_pytorch() -> None:
    recipe = Recipe(epochs=5, batch_size=1, learning_rate=0.1)
    mine, theirs = (recipe.optimizer(nn.Linear(1, 1)) for _ in range(2))
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
    options = recipe.optimizer(nn.Linear(1, 1)).defaults
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


MOBILE = RMSPropRecipe(
    epochs=4, batch_size=8, learning_rate=2.64, weight_decay=4e-5, warmup_epochs=1, label_smoothing=0.1
)


def test_rmsprop_has_its_eps_inside_the_root_as_a_plain_loop_has() -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2)).double()
    recipe = replace(MOBILE, weight_decay=0.01, eps=0.5)
    optimizer = recipe.optimizer(network)
    expected = {name: p.detach().numpy().copy() for name, p in network.named_parameters()}
    square = {name: np.ones_like(p) for name, p in expected.items()}
    velocity = {name: np.zeros_like(p) for name, p in expected.items()}
    random = np.random.default_rng(0)
    for rate in (0.3, 0.2, 0.1):
        for group in optimizer.param_groups:
            group["lr"] = rate
        for name, parameter in network.named_parameters():
            gradient = random.normal(size=parameter.shape)
            parameter.grad = torch.from_numpy(gradient.copy())
            if name == "0.weight":  # neither biases, nor batch normalisation, nor the classifier
                gradient = gradient + 0.01 * expected[name]
            square[name] = 0.9 * square[name] + 0.1 * gradient**2
            velocity[name] = 0.9 * velocity[name] + rate * gradient / np.sqrt(square[name] + 0.5)
            expected[name] = expected[name] - velocity[name]
        optimizer.step()
    for name, parameter in network.named_parameters():
        np.testing.assert_allclose(parameter.detach().numpy(), expected[name], rtol=1e-12, err_msg=name)


def test_rmsprop_leaves_what_has_no_gradient() -> None:
    network = nn.Linear(2, 2)
    optimizer = MOBILE.optimizer(network)
    network.weight.grad = torch.ones(2, 2)
    before = network.bias.detach().clone()
    optimizer.step()
    assert torch.equal(network.bias, before)


def test_rmsprop_warms_up_from_its_first_rate_and_then_follows_the_cosine() -> None:
    rates = [2.64 * MOBILE.schedule(step, 40) for step in range(40)]
    assert rates[0] == pytest.approx(0.1) and rates[5] == pytest.approx((0.1 + 2.64) / 2)
    assert rates[10] == max(rates) == 2.64
    assert rates[25] == pytest.approx(1.32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eps": 0.0}, "eps=0.0 above 0"),
        ({"decay": 1.0}, "decay=1.0 lies between"),
        ({"warmup_from": 3.0}, "warmup_from=3.0 lies above 0 and at most"),
        ({"nesterov": True}, "no Nesterov momentum"),
        ({"epochs": 0}, "epochs must be at least 1"),
    ],
)
def test_values_of_rmsprop_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        replace(MOBILE, **changes)
