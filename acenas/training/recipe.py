"""Recipes of trainings: stochastic gradient descent or RMSProp, with warm-up and cosine decay."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from typing_extensions import override

from acenas.errors import UserError, require_at_least


@dataclass(frozen=True)
class Recipe:
    """SGD with momentum. The learning rate rises linearly from 0, then falls to 0 along a cosine, step by step.

    Attributes:
        epochs: passes over the training images, without those that do not fill the last batch.
        batch_size: images of a step; of each process where a super-net is trained, else of all processes together.
        learning_rate: the highest.
        momentum: of SGD.
        nesterov: whether the momentum is Nesterov's.
        weight_decay: of all parameters.
        warmup_epochs: in which the learning rate rises.
        label_smoothing: part of the target that is spread over all classes.
        gradient_clip: the largest norm of the gradient of all parameters together; None for no limit.

    Raises:
        UserError: where a value is out of range.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    warmup_epochs: float = 0.0
    label_smoothing: float = 0.0
    gradient_clip: float | None = None

    def __post_init__(self) -> None:
        require_at_least(1, "recipe: ", epochs=self.epochs, batch_size=self.batch_size)
        if not 0 <= self.warmup_epochs < self.epochs:
            raise UserError(
                f"recipe: warmup_epochs lies between 0 and below epochs={self.epochs}, not at {self.warmup_epochs}"
            )
        if not 0 <= self.label_smoothing < 1:
            raise UserError(f"recipe: label_smoothing lies between 0 and 1, not at {self.label_smoothing}")
        if self.gradient_clip is not None and self.gradient_clip <= 0:
            raise UserError(f"recipe: gradient_clip must be above 0 or null, not {self.gradient_clip}")

    def over(self, epochs: int) -> Recipe:
        """Returns the recipe for `epochs` epochs; the warm-up stays the same part of all steps."""
        return replace(self, epochs=epochs, warmup_epochs=self.warmup_epochs * epochs / self.epochs)

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Returns an optimizer of all parameters. Parameters without a gradient and their momentum do not change."""
        return torch.optim.SGD(
            network.parameters(),
            lr=self.learning_rate,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
            foreach=True,  # one call for all parameters: there are many and they are small
        )

    def scheduler(self, optimizer: torch.optim.Optimizer, steps: int) -> LambdaLR:
        """Returns the schedule over `steps` steps, to be advanced after each."""
        return LambdaLR(optimizer, lambda step: self.schedule(step, steps))

    def schedule(self, step: int, steps: int) -> float:
        """Returns the learning rate in step `step` (from 0) of `steps`, as a part of the highest."""
        rising = self.warmup_epochs / self.epochs * steps
        if step < rising:
            return (step + 1) / (rising + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / (steps - rising)))

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Returns the mean cross-entropy of `logits` `[B, K]` and `labels` `[B]`."""
        return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)


@dataclass(frozen=True)
class RMSPropRecipe(Recipe):
    """RMSProp as in TensorFlow, as TuNAS trained ProxylessNAS' space; only kernels of convolutions have weight decay.

    Attributes:
        decay: of the mean square of the gradient.
        eps: is added to the mean square before its root is taken.
        warmup_from: learning rate of the first step, where there is a warm-up.
    """

    decay: float = 0.9
    eps: float = 1.0
    warmup_from: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.decay < 1 or self.eps <= 0:
            raise UserError(
                f"recipe: decay={self.decay} lies between 0 and below 1, and eps={self.eps} above 0"
            )
        if self.warmup_epochs and not 0 < self.warmup_from <= self.learning_rate:
            raise UserError(
                f"recipe: warmup_from={self.warmup_from} lies above 0 and at most at the learning rate, "
                f"{self.learning_rate}"
            )
        if self.nesterov:
            raise UserError("recipe: this RMSProp has no Nesterov momentum; say nesterov=false")

    @override
    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Returns an optimizer with two groups: kernels of convolutions, and the rest, without weight decay."""
        kernels = {id(layer.weight) for layer in network.modules() if isinstance(layer, nn.Conv2d)}
        groups: list[dict[str, Any]] = [
            {"params": [p for p in network.parameters() if id(p) in kernels]},
            {"params": [p for p in network.parameters() if id(p) not in kernels], "weight_decay": 0.0},
        ]
        return TensorFlowRMSProp(
            [group for group in groups if group["params"]],
            lr=self.learning_rate,
            decay=self.decay,
            momentum=self.momentum,
            eps=self.eps,
            weight_decay=self.weight_decay,
        )

    @override
    def schedule(self, step: int, steps: int) -> float:
        rising = self.warmup_epochs / self.epochs * steps
        if step < rising:
            start = self.warmup_from / self.learning_rate
            return start + (1 - start) * step / rising
        return super().schedule(step, steps)


class TensorFlowRMSProp(torch.optim.Optimizer):
    """RMSProp (Tieleman and Hinton 2012) with momentum, with the order of operations of `tf.train.RMSPropOptimizer`.

    With the gradient g (weight decay included), the mean square s, which starts at 1, and the velocity v::

        s ← decay · s + (1 - decay) · g²
        v ← momentum · v + lr · g / √(s + eps)
        p ← p - v

    PyTorch's RMSProp adds eps after the root, starts s at 0, and multiplies v rather than g by the learning rate. With
    an eps of 1 the results differ.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        decay: float = 0.9,
        momentum: float = 0.9,
        eps: float = 1.0,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {
            "lr": lr, "decay": decay, "momentum": momentum, "eps": eps, "weight_decay": weight_decay,
        }  # fmt: skip
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """Makes one step; parameters without a gradient do not change. `closure` computes loss and gradients first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            for p in parameters:
                if not self.state[p]:
                    self.state[p] = {"square": torch.ones_like(p), "velocity": torch.zeros_like(p)}
            squares = [self.state[p]["square"] for p in parameters]
            velocities = [self.state[p]["velocity"] for p in parameters]
            gradients = [p.grad for p in parameters if p.grad is not None]
            if group["weight_decay"]:
                gradients = list(torch._foreach_add(gradients, parameters, alpha=group["weight_decay"]))
            torch._foreach_mul_(squares, group["decay"])
            torch._foreach_addcmul_(squares, gradients, gradients, value=1 - group["decay"])
            roots = torch._foreach_add(squares, group["eps"])
            torch._foreach_sqrt_(roots)
            torch._foreach_mul_(velocities, group["momentum"])
            torch._foreach_addcdiv_(velocities, gradients, roots, value=group["lr"])
            torch._foreach_sub_(parameters, velocities)
        return loss
