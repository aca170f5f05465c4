"""Zero-cost scores of untrained networks: weak labels that cost one batch. A higher score promises a better network.

Each function takes a network with initial weights and does not change it, except for the statistics of batch
normalisation in training mode.
"""

from contextlib import ExitStack
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def synflow(network: nn.Module, image_shape: tuple[int, int, int]) -> float:
    """Synaptic flow (Tanaka et al., arXiv 2006.05467, equation 4), as log(1 + sum).

    The sum over all weights of |weight x d R / d weight|, where R is the sum of the outputs of the network with the
    absolute values of its weights, without batch normalisation, for an image of ones. It needs no data. It spans
    many orders of magnitude, hence the logarithm.

    Args:
        network: with initial weights.
        image_shape: `(channels, height, width)`.
    """
    network = deepcopy(network).double()
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            network.set_submodule(name, nn.Identity())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    network(torch.ones(1, *image_shape, dtype=torch.float64)).sum().backward()
    flows = [(p * p.grad).abs().sum() for p in network.parameters() if p.grad is not None]
    return float(torch.log1p(torch.stack(flows).sum()).detach())


def naswot(network: nn.Module, images: Tensor) -> float:
    """Neural architecture search without training (Mellor et al., arXiv 2006.04647, equation 2).

    The logarithm of the determinant of the kernel of the images' binary codes, where the code of an image is which
    of all ReLU units it activates and the kernel of two images is the number of units on which they agree. Where
    two images have the same code, the determinant is 0 and the score is that of a matrix with 1e-3 added to its
    diagonal, so that it stays finite.

    Args:
        network: with initial weights, in training mode, so that batch normalisation uses the batch.
        images: `[B, C, H, W]`.
    """
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64)

    def add_agreements(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        active = (inputs[0] > 0).flatten(1).double()
        kernel.add_(active @ active.T + (1 - active) @ (1 - active).T)

    with ExitStack() as hooks, torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.ReLU | nn.ReLU6):
                hooks.callback(module.register_forward_hook(add_agreements).remove)
        network(images)
    kernel += 1e-3 * torch.eye(len(images), dtype=torch.float64)
    return float(torch.linalg.slogdet(kernel).logabsdet)


def grad_norm(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Norm of the gradient at the first step (Abdelfattah et al., arXiv 2101.08134, section 3.1), as log(1 + sum).

    The sum over all layers of the Euclidean norm of the gradient of the cross-entropy on one batch.

    Args:
        network: with initial weights, in training mode.
        images: `[B, C, H, W]`.
        labels: `[B]`, long.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.dim() > 1]  # weights of layers
    loss = F.cross_entropy(network(images), labels)
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    return float(torch.log1p(torch.stack([g.norm() for g in gradients if g is not None]).sum()))
