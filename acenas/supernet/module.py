"""The training of a super-net: each step trains the weights of a few paths only."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor

from acenas.errors import require_at_least, require_one_of
from acenas.spaces.base import SearchSpace
from acenas.spaces.supernet import SupernetNetwork
from acenas.supernet.sampling import PathSampler
from acenas.training.lightning import log_epoch
from acenas.training.network import EpochSums
from acenas.training.recipe import Recipe

Average = Literal["users", "paths"]


class Supernet(pl.LightningModule):
    """Trains the shared weights along sampled paths.

    A step has P paths, those of all processes together. A parameter's gradient is the mean of its gradients over the
    paths that use it (`average="users"`), or their sum divided by P, as if the other paths gave zeros
    (`average="paths"`: plain data parallelism). With the first, an operation learns as fast with many paths in a step
    as with a single one.

    Parameters that no path of a step uses have no gradient (None, not zeros), so that neither momentum nor weight decay
    changes them in that step.

    Args:
        network: is trained in place.
        space: of the architectures.
        sampler: draws the paths of each step.
        recipe: how to train. Its batch size is that of a process; it clips the norm of the averaged gradients of all
            parameters used in the step.
        seed: of the paths, which are a function of (seed, step).
        average: how gradients are averaged over paths.
        accumulate: batches of a step, all on the same paths: like one batch `accumulate` times as large, except for the
            statistics of batch normalisation. The last batches of an epoch may make a smaller step.
        channels_last: memory layout of images and weights.

    Raises:
        UserError: where `accumulate` is below 1 or `average` is unknown.
    """

    def __init__(
        self,
        network: SupernetNetwork,
        space: SearchSpace,
        sampler: PathSampler,
        recipe: Recipe,
        seed: int,
        *,
        average: Average = "users",
        accumulate: int = 1,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        require_at_least(1, "supernet: ", accumulate=accumulate)
        require_one_of("supernet: average", average, ("users", "paths"))
        self.automatic_optimization = False  # one backward pass for each path, so that memory holds one graph
        self.network = network
        self.space = space
        self.sampler = sampler
        self.recipe = recipe
        self.seed = seed
        self.average = average
        self.accumulate = accumulate
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Returns the optimizer of the recipe, and its schedule step by step."""
        self.network.to(memory_format=self.memory_format)  # type: ignore[call-overload]
        optimizer = self.recipe.optimizer(self.network)
        batches = int(self.trainer.estimated_stepping_batches) // self.recipe.epochs
        steps = self.recipe.epochs * -(-batches // self.accumulate)
        return [optimizer], [self.recipe.scheduler(optimizer, steps)]

    def on_train_epoch_start(self) -> None:
        """Starts the sums of the epoch's metrics."""
        self.sums = EpochSums(self.device)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> None:
        """Adds the gradients of a batch on each path of this process; the last batch of a step updates the weights."""
        images, labels = batch
        images = images.to(dtype=next(self.parameters()).dtype, memory_format=self.memory_format)
        # Trainer.global_step counts the steps of the optimizer, and a checkpoint keeps it.
        paths = self.sampler.paths(self.space, self.seed, self.trainer.global_step, self.trainer.world_size)
        for arch in paths[self.trainer.global_rank]:
            logits = self.network(images, arch)
            loss = self.recipe.loss(logits, labels)
            self.manual_backward(loss)
            self.sums.add(loss, logits, labels)
        place = batch_index % self.accumulate + 1
        if place == self.accumulate or self.trainer.is_last_batch:
            self._step(paths, batches=place)

    def _step(self, paths: Sequence[Sequence[str]], batches: int) -> None:
        optimizer, scheduler = self.optimizers(), self.lr_schedulers()
        assert isinstance(optimizer, pl.core.optimizer.LightningOptimizer)
        assert isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler)
        average_gradients(self.network, paths, self.average, batches)
        if self.recipe.gradient_clip is not None:
            # From the optimizer: a walk through all modules of a large super-net takes as long as a step.
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, self.recipe.gradient_clip, foreach=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        scheduler.step()

    def on_train_epoch_end(self) -> None:
        """Logs the means over the epoch, its paths and all processes, with one transfer from the device."""
        accuracy = self.sums.correct / (self.sums.batches * self.recipe.batch_size)
        (group,) = self.trainer.optimizers[0].param_groups
        metrics = {
            "supernet/loss": self.sums.loss / self.sums.batches,
            "supernet/train_accuracy": 100 * accuracy,
            "supernet/learning_rate": group["lr"],
        }
        log_epoch(self, metrics)


def average_gradients(
    network: SupernetNetwork, paths: Sequence[Sequence[str]], average: Average, batches: int = 1
) -> None:
    """Replaces each process's sums of gradients by the averages over all processes.

    Only gradients that some path uses are sent, in one message: all processes know all paths.

    Args:
        network: holds in `grad` the sums over the paths of this process and over `batches`.
        paths: of each process.
        average: see `Supernet`.
        batches: of a step.
    """
    archs = [arch for of_process in paths for arch in of_process]
    if len(archs) * batches == 1:
        return
    users = Counter(id(parameter) for arch in archs for parameter in network.active_parameters(arch))
    used = [parameter for parameter in network.parameters() if id(parameter) in users]
    gradients = [p.new_zeros(p.shape) if p.grad is None else p.grad for p in used]
    if len(paths) > 1:
        message = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(message)
        parts = torch.split(message, [gradient.numel() for gradient in gradients])
        torch._foreach_copy_(gradients, [p.view(g.shape) for p, g in zip(parts, gradients, strict=True)])
    counts = [users[id(parameter)] if average == "users" else len(archs) for parameter in used]
    torch._foreach_mul_(gradients, [1 / (count * batches) for count in counts])
    for parameter, gradient in zip(used, gradients, strict=True):
        parameter.grad = gradient
