"""Trains several networks of the same structure in one pass.

Small networks on a CPU are limited by the fixed cost of each operation. Here S networks are the groups of one network
with grouped convolutions, so that they share that cost. `benchmarks/digits_recipe.py` measures how well a recipe ranks.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from typing_extensions import override

from acenas.images import ImageTask
from acenas.seeds import torch_generator
from acenas.training.batches import TrainingBatches, accuracies, evaluation_batches
from acenas.training.network import initialised
from acenas.training.recipe import Recipe


class Accuracies(NamedTuple):
    """Accuracies of one trained network in percent, on validation images and on test images."""

    valid: float
    test: float


def train(
    build: Callable[[], nn.Module], recipe: Recipe, task: ImageTask, seeds: Sequence[int]
) -> list[Accuracies]:
    """Trains the network of `build` once for each of `seeds`, and returns the accuracies of each, in percent.

    All are trained in one pass where `side_by_side` can merge them, else one after the other. A seed sets a network's
    initial weights, order of images and augmentation, and its result is that of a training alone, except for rounding.
    Neither reads nor changes torch's global generator. Raises `UserError` where the images do not fill one batch.
    """
    epochs = [TrainingBatches(task, recipe.batch_size, seed) for seed in seeds]
    networks = [initialised(build, seed) for seed in seeds]
    merged = _merged(networks, task.splits.image_shape)
    if merged is None and len(seeds) > 1:
        return [accuracy for seed in seeds for accuracy in train(build, recipe, task, [seed])]
    network = merged or networks[0]
    optimizer = recipe.optimizer(network)
    scheduler = recipe.scheduler(optimizer, recipe.epochs * len(epochs[0]))
    for _ in range(recipe.epochs):
        for batches in zip(*epochs, strict=True):
            images = torch.cat([batch.images for batch in batches], dim=1)
            labels = torch.stack([batch.labels for batch in batches], dim=1)
            logits = network(images.contiguous(memory_format=torch.channels_last))
            logits = logits.reshape(recipe.batch_size, len(seeds), -1)
            # The mean over images and the sum over networks, so that each gets the gradient of its own mean loss.
            loss = len(seeds) * recipe.loss(logits.flatten(0, 1), labels.flatten())
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            if recipe.gradient_clip is not None:
                _clip_each(network, len(seeds), recipe.gradient_clip)
            optimizer.step()
            scheduler.step()
    valid = accuracies(network, evaluation_batches(task, "valid"), len(seeds))
    test = accuracies(network, evaluation_batches(task, "test"), len(seeds))
    return [Accuracies(v, t) for v, t in zip(valid, test, strict=True)]


class SideBySideLinear(nn.Module):
    """S linear layers: `[B, S * in_features]` to `[B, S, out_features]`."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))

    def forward(self, x: Tensor) -> Tensor:
        """Applies layer s to part s of `x`."""
        parts = x.reshape(len(x), self.weight.shape[0], -1)
        return torch.einsum("bsi,soi->bso", parts, self.weight) + self.bias

    @override
    def extra_repr(self) -> str:
        count, out_features, in_features = self.weight.shape
        return f"count={count}, in_features={in_features}, out_features={out_features}"


def side_by_side(networks: Sequence[nn.Module]) -> nn.Module:
    """Merges S `networks` of the same structure into one module, with copies of their weights.

    Its input is `[B, S * C, H, W]`, where channels s * C to (s + 1) * C are the images of network s, and its output
    `[B, S, num_classes]`. The networks consist of convolutions, batch normalisation, one linear layer at the end, and
    layers that treat each channel alone (ReLU, pooling, sums, flatten); they must not join or slice channels.
    """
    merged = deepcopy(networks[0])
    for name, module in list(merged.named_modules()):
        parts = [network.get_submodule(name) for network in networks]
        if isinstance(module, nn.Conv2d):
            _join_parameters(module, parts)
            module.groups *= len(networks)
            module.in_channels *= len(networks)
            module.out_channels *= len(networks)
        elif isinstance(module, nn.BatchNorm2d):
            _join_parameters(module, parts)
            module.num_features *= len(networks)
        elif isinstance(module, nn.Linear):
            parent, _, child = name.rpartition(".")
            linears = cast(list[nn.Linear], parts)
            setattr(merged.get_submodule(parent), child, SideBySideLinear(linears))
    return merged


@torch.no_grad()
def _merged(networks: Sequence[nn.Module], image_shape: tuple[int, int, int]) -> nn.Module | None:
    """Returns `networks` side by side; None where that does not compute what each computes on random images."""
    images = torch.randn(2, *image_shape, generator=torch_generator(0, "side by side"))
    try:
        merged = side_by_side(networks)
        together = merged.eval()(images.repeat(1, len(networks), 1, 1))
        alone = torch.stack([network.eval()(images) for network in networks], dim=1)
        torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)
    except Exception:  # whatever is wrong with the merged network, each can be trained alone
        return None
    finally:
        for network in networks:
            network.train()
    return merged.train()


def _join_parameters(module: nn.Module, parts: Sequence[nn.Module]) -> None:
    """Replaces the parameters and running statistics of `module` by those of `parts`, concatenated in dimension 0."""
    for key, parameter in module.named_parameters(recurse=False):
        joined = torch.cat([part.get_parameter(key).detach() for part in parts])
        setattr(module, key, nn.Parameter(joined, requires_grad=parameter.requires_grad))
    for key, buffer in module.named_buffers(recurse=False):
        if buffer.dim() > 0:
            setattr(module, key, torch.cat([part.get_buffer(key) for part in parts]))


def _clip_each(network: nn.Module, count: int, limit: float) -> None:
    """Clips the gradient of each of `count` networks side by side to a norm of `limit`."""
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    squares = torch.stack([gradient.reshape(count, -1).square().sum(1) for gradient in gradients])
    scale = (limit / (squares.sum(0).sqrt() + 1e-6)).clamp(max=1)  # as torch.nn.utils.clip_grad_norm_
    for gradient in gradients:  # the networks' parts follow each other in the first dimension
        gradient.mul_(scale.repeat_interleave(len(gradient) // count).view(-1, *[1] * (gradient.dim() - 1)))
