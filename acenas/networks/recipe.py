"""How networks are trained: stochastic gradient descent with warm-up and a cosine."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from acenas.errors import UserError


@dataclass(frozen=True)
class Recipe:
    """SGD with momentum; the learning rate rises linearly from 0, then falls to 0 along a cosine, step by step.

    Attributes:
        epochs: passes over the training images; images that do not fill the last batch wait for the next pass.
        batch_size: images of a step, in each process.
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
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise UserError(f"recipe: {name} must be at least 1, not {getattr(self, name)}")
        if not 0 <= self.warmup_epochs < self.epochs:
            raise UserError(
                f"recipe: warmup_epochs lies between 0 and below epochs={self.epochs}, not at {self.warmup_epochs}"
            )
        if not 0 <= self.label_smoothing < 1:
            raise UserError(f"recipe: label_smoothing lies between 0 and 1, not at {self.label_smoothing}")
        if self.gradient_clip is not None and self.gradient_clip <= 0:
            raise UserError(f"recipe: gradient_clip must be above 0 or null, not {self.gradient_clip}")

    def over(self, epochs: int) -> Recipe:
        """The same over `epochs` epochs: the warm-up is the same part of all steps."""
        return replace(self, epochs=epochs, warmup_epochs=self.warmup_epochs * epochs / self.epochs)

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.SGD:
        """SGD over `parameters`; those without a gradient are left as they are, momentum and weight decay included."""
        return torch.optim.SGD(
            parameters,
            lr=self.learning_rate,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
            foreach=True,  # one call for all parameters: there are many and they are small
        )

    def scheduler(self, optimizer: torch.optim.Optimizer, steps: int) -> LambdaLR:
        """The learning rate over `steps` steps in all; to be stepped after each of them."""
        return LambdaLR(optimizer, lambda step: self.schedule(step, steps))

    def schedule(self, step: int, steps: int) -> float:
        """Part of the highest learning rate in step `step` of `steps`, counted from 0."""
        rising = self.warmup_epochs / self.epochs * steps
        if step < rising:
            return (step + 1) / (rising + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / (steps - rising)))

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean cross-entropy of `logits` `[B, K]` and `labels` `[B]`."""
        return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
