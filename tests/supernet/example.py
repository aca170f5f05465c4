"""A super-net, images and a training small enough for tests, and that training once more in plain loops."""

import copy
from typing import NamedTuple

import torch
from torch import Tensor

from acenas.images import Augmentation, ImageBatches, Images, ImageSource, ImageSplits, ImageTask
from acenas.seeds import derive_seed, torch_generator
from acenas.spaces import NasBench201
from acenas.spaces.supernet import SupernetNetwork
from acenas.supernet import PathSampler, SupernetTraining, UniformPaths
from acenas.training.processes import Hardware
from acenas.training.recipe import Recipe

SPACE = NasBench201(channels=2, cells_per_stage=1, stages=1, in_channels=1)
RECIPE = Recipe(
    epochs=3,
    batch_size=4,
    learning_rate=0.3,
    weight_decay=0.01,
    warmup_epochs=1.0,
    label_smoothing=0.1,
    gradient_clip=0.5,
)


class Noise(ImageSource):
    """26 training and 10 validation images without meaning."""

    name = "noise"

    def load(self) -> ImageSplits:
        generator = torch.Generator().manual_seed(0)
        train, valid, test = (
            Images(
                torch.randint(256, (n, 1, 4, 4), generator=generator, dtype=torch.uint8),
                torch.randint(3, (n,), generator=generator),
            )
            for n in (26, 10, 1)
        )
        return ImageSplits(train, valid, test, num_classes=3, mean=(127.0,), std=(70.0,))


def task() -> ImageTask:
    return ImageTask(Noise(), Augmentation(noise=0.1), Augmentation(noise=0.1), draws=2)


def training(
    sampler: PathSampler | None = None,
    devices: int = 1,
    num_nodes: int = 1,
    recipe: Recipe = RECIPE,
    **options: object,
) -> SupernetTraining:
    hardware = Hardware(devices=devices, num_nodes=num_nodes, precision="64-true")
    return SupernetTraining(SPACE, task(), sampler or UniformPaths(), recipe, hardware, seed=3, **options)  # type: ignore[arg-type]


class Trained(NamedTuple):
    network: SupernetNetwork
    losses: list[float]
    accuracies: list[float]
    learning_rates: list[float]


def plain_training(of: SupernetTraining) -> Trained:
    """What `of` should do, in one process: every path of every process has its gradient taken alone.

    The gradient of a parameter is averaged by hand, clipping and SGD are written out.
    """
    recipe, world_size = of.recipe, of.hardware.world_size
    network = copy.deepcopy(of.fresh()).double()
    momentum: dict[str, Tensor] = {}
    trained = Trained(network, [], [], [])
    per_epoch = len(of.task.splits.train.labels) // (recipe.batch_size * world_size)
    steps_per_epoch = -(-per_epoch // of.accumulate)
    step = 0
    for epoch in range(recipe.epochs):
        ranks = []
        for rank in range(world_size):
            order = torch_generator(of.seed, "images", "order", epoch)
            noise = torch.Generator().manual_seed(derive_seed(of.seed, "images", "augmentation", epoch, rank))
            batches = ImageBatches(of.task.splits.train, recipe.batch_size, order, rank, world_size)
            ranks.append([(of.task.augmented(x, noise).double(), y) for x, y in batches])
        losses, hits = [], []
        for start in range(0, per_epoch, of.accumulate):
            paths = of.sampler.paths(of.space, of.seed, step, world_size)
            found: dict[str, list[Tensor]] = {}
            micro = range(start, min(start + of.accumulate, per_epoch))
            for rank, archs in enumerate(paths):
                for arch in archs:
                    for batch in micro:
                        x, y = ranks[rank][batch]
                        logits = network(x, arch)
                        loss = recipe.loss(logits, y)
                        names, parameters = zip(*network.named_parameters(), strict=True)
                        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
                        for name, gradient in zip(names, gradients, strict=True):
                            if gradient is not None:
                                found.setdefault(name, []).append(gradient)
                        losses.append(loss.item())
                        hits.append((logits.argmax(1) == y).double().mean().item())
            everything = sum(map(len, paths)) * len(micro)
            averaged = {
                name: sum(gradients[1:], gradients[0])
                / (len(gradients) if of.average == "users" else everything)
                for name, gradients in found.items()
            }
            if recipe.gradient_clip is not None:
                norm = torch.cat([g.flatten() for g in averaged.values()]).norm().item()
                averaged = {
                    n: g * min(1.0, recipe.gradient_clip / (norm + 1e-6)) for n, g in averaged.items()
                }
            rate = recipe.learning_rate * recipe.schedule(step, recipe.epochs * steps_per_epoch)
            with torch.no_grad():
                for name, parameter in network.named_parameters():
                    if name in averaged:
                        gradient = averaged[name] + recipe.weight_decay * parameter
                        if name in momentum:
                            gradient = gradient + recipe.momentum * momentum[name]
                        momentum[name] = gradient
                        parameter.sub_(rate * gradient)
            step += 1
        trained.losses.append(sum(losses) / len(losses))
        trained.accuracies.append(100 * sum(hits) / len(hits))
        trained.learning_rates.append(
            recipe.learning_rate * recipe.schedule(step, recipe.epochs * steps_per_epoch)
        )
    return trained


def assert_same_weights(network: SupernetNetwork, expected: SupernetNetwork, tolerance: float = 1e-6) -> None:
    for (name, parameter), other in zip(network.named_parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(
            parameter.double(), other.double(), rtol=tolerance, atol=tolerance, msg=name
        )
