"""How fast a super-net trains and scores, beside what its paths cost alone.

Each ratio is of two things measured in turn within one run, so that other work on the machine weighs on both alike:

    OMP_NUM_THREADS=1 python benchmarks/supernet_speed.py                       # CPU, the network for CIFAR-10
    OMP_NUM_THREADS=1 python benchmarks/supernet_speed.py --skeleton digits --batch 128
    python benchmarks/supernet_speed.py --device cuda --batch 192 [--bf16]

The images are noise: speed does not depend on them.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from acenas.images import Images
from acenas.spaces import NasBench201
from acenas.spaces.supernet import SupernetNetwork
from acenas.supernet import UniformPaths, score_paths
from acenas.training.recipe import Recipe

SPACES = {
    "cifar": (NasBench201(), (3, 32, 32)),
    "digits": (NasBench201(channels=16, cells_per_stage=1, stages=1, in_channels=1), (1, 8, 8)),
}
SCORED = 1000
"""Images that each path answers."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--skeleton", default="cifar", choices=sorted(SPACES))
    parser.add_argument("--batch", type=int, default=64, help="images of a step")
    parser.add_argument("--paths", type=int, default=20, help="paths that are trained and scored")
    parser.add_argument("--bf16", action="store_true", help="bfloat16 mixed precision")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    space, shape = SPACES[arguments.skeleton]
    generator = torch.Generator().manual_seed(0)

    def images(count: int) -> Images:
        pixels = torch.randn(count, *shape, generator=generator)
        labels = torch.randint(10, (count,), generator=generator)
        return Images(pixels.to(device, memory_format=torch.channels_last), labels.to(device))

    torch.manual_seed(0)
    network = space.build_supernet(10).to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    paths = UniformPaths(paths_per_step=arguments.paths, connected_only=True).paths(space, 0, 0)[0]
    name = (
        torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} CPU thread(s)"
    )
    print(
        f"{name}, torch {torch.__version__}, {arguments.skeleton} skeleton, "
        f"{'bfloat16' if arguments.bf16 else 'float32'}"
    )
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=arguments.bf16):
        training(space, network, paths, images(arguments.batch))
        scoring(network, sorted(paths), images(SCORED))


def training(space: NasBench201, network: SupernetNetwork, paths: Sequence[str], batch: Images) -> None:
    """Steps of the super-net and of each path alone, in turn."""
    recipe = Recipe(
        epochs=1, batch_size=len(batch.labels), learning_rate=0.01, weight_decay=1e-4, gradient_clip=5.0
    )
    optimizer = recipe.optimizer(network)
    shared, alone = 0.0, 0.0
    for arch in paths:
        stand_alone = space.build(arch, 10).to(batch.labels.device)
        stand_alone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        its_optimizer = recipe.optimizer(stand_alone)

        def alone_step(
            its: nn.Module = stand_alone, optimizer: torch.optim.Optimizer = its_optimizer
        ) -> None:
            step(its, optimizer, recipe, batch, its)

        def shared_step(arch: str = arch) -> None:
            step(network, optimizer, recipe, batch, partial(network, arch=arch))

        mine, its = in_turn(shared_step, alone_step, rounds=5)
        shared, alone = shared + mine, alone + its
    per_step = shared / len(paths)
    print(f"  step of {len(batch.labels)} images: super-net {per_step * 1e3:.2f} ms", end=", ")
    print(f"stand-alone {alone / len(paths) * 1e3:.2f} ms, ratio {shared / alone:.3f}", end=", ")
    print(f"{len(batch.labels) / per_step:,.0f} images a second")
    if batch.labels.is_cuda:

        def steps() -> None:
            for arch in paths:
                step(network, optimizer, recipe, batch, partial(network, arch=arch))

        busy, wall = kernel_time(steps)
        print(
            f"  the GPU computes for {busy / wall:.0%} of the steps and waits for launches for {1 - busy / wall:.0%}"
        )


def step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    batch: Images,
    forward: Callable[[Tensor], Tensor],
) -> None:
    """One step of training as `acenas.supernet` and `acenas.evaluation` do it, without Lightning around it."""
    loss = recipe.loss(forward(batch.images), batch.labels)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(network.parameters(), recipe.gradient_clip or 1.0, foreach=True)
    optimizer.step()
    optimizer.zero_grad()


def scoring(network: SupernetNetwork, archs: Sequence[str], images: Images) -> None:
    """Scoring beside the forward passes alone, in turn."""
    size = len(images.labels) // 2
    batches = [Images(images.images[part], images.labels[part]) for part in (slice(size), slice(size, None))]

    def forward_only() -> None:
        for arch in archs:
            for batch in batches:
                network(batch.images, arch)

    def scored() -> None:
        score_paths(network, archs, batches)

    with torch.inference_mode():
        limit, mine = in_turn(forward_only, scored, rounds=3)
    print(
        f"  scoring on {len(images.labels)} images: {len(archs) / mine:.1f} architectures a second, "
        f"{limit / mine:.0%} of the forward passes alone ({len(archs) / limit:.1f})"
    )


def in_turn(first: Callable[[], object], second: Callable[[], object], rounds: int) -> tuple[float, float]:
    """The shortest seconds of each, in `rounds` rounds of both after one to warm up."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        for function, seconds in zip((first, second), times, strict=True):
            synchronise()
            start = time.perf_counter()
            function()
            synchronise()
            seconds.append(time.perf_counter() - start)
    return min(times[0][1:]), min(times[1][1:])


def kernel_time(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds in which the GPU computed, and seconds of the wall clock, without the profiler's own share."""
    _, wall = in_turn(lambda: None, work, rounds=3)
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        work()
        synchronise()
    return sum(event.self_device_time_total for event in profiler.key_averages()) / 1e6, wall


def synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
