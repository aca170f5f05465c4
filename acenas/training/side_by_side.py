"""Several networks of one structure trained in one pass.

Small networks on a CPU are bound by the fixed cost of each operation. Here S networks with weights of their own
lie side by side in the channels of one network with grouped convolutions, so that they share that cost.
"""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn


class SideBySideLinear(nn.Module):
    """S linear layers: `[B, S * in_features]` to `[B, S, out_features]`."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))

    def forward(self, x: Tensor) -> Tensor:
        """Part s of `x` goes through layer s."""
        parts = x.reshape(len(x), self.weight.shape[0], -1)
        return torch.einsum("bsi,soi->bso", parts, self.weight) + self.bias

    def extra_repr(self) -> str:
        """Number of layers and their sizes."""
        count, out_features, in_features = self.weight.shape
        return f"count={count}, in_features={in_features}, out_features={out_features}"


def side_by_side(networks: Sequence[nn.Module]) -> nn.Module:
    """One module that computes what each of `networks` computes, with copies of their weights.

    Its input is `[B, S * C, H, W]`, where channels s * C to (s + 1) * C are the images of network s, and its output
    `[B, S, num_classes]`. The sum of a loss over s gives every network the gradient that it would have alone.

    Args:
        networks: S networks of the same structure, made of convolutions without groups, batch normalisation, one
            linear layer at the end, and layers that treat each channel alone (ReLU, pooling, sums, flatten).
    """
    merged = deepcopy(networks[0])
    for name, module in list(merged.named_modules()):
        parts = [network.get_submodule(name) for network in networks]
        if isinstance(module, nn.Conv2d):
            _join_parameters(module, parts)
            module.groups = len(networks)
            module.in_channels *= len(networks)
            module.out_channels *= len(networks)
        elif isinstance(module, nn.BatchNorm2d):
            _join_parameters(module, parts)
            module.num_features *= len(networks)
        elif isinstance(module, nn.Linear):
            parent, _, child = name.rpartition(".")
            linears = [part for part in parts if isinstance(part, nn.Linear)]
            setattr(merged.get_submodule(parent), child, SideBySideLinear(linears))
    return merged


def _join_parameters(module: nn.Module, parts: Sequence[nn.Module]) -> None:
    """Replaces every parameter and running statistic of `module` by those of `parts`, joined in the first dimension."""
    for key, parameter in module.named_parameters(recurse=False):
        joined = torch.cat([part.get_parameter(key).detach() for part in parts])
        setattr(module, key, nn.Parameter(joined, requires_grad=parameter.requires_grad))
    for key, buffer in module.named_buffers(recurse=False):
        if buffer.dim() > 0:
            setattr(module, key, torch.cat([part.get_buffer(key) for part in parts]))
