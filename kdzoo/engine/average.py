"""Agreement between processes: equal initial weights, equal gradients, and equal buffers.

Roles are not wrapped in ``DistributedDataParallel``: its reducer expects one backward pass for each forward
pass and gradients for every parameter, while a recipe may call a role several times a step, update one role
through another, or leave a head unused. One all-reduce for each update holds in all of these cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def begin_equal(fabric: Fabric, module: nn.Module) -> None:
    """Copy parameters and buffers of process 0 to ``module``: random numbers differ between processes."""
    if fabric.world_size > 1:
        for tensor in (*module.parameters(), *module.buffers()):
            torch.distributed.broadcast(tensor.detach(), 0)


def average_gradients(fabric: Fabric, parameters: Sequence[nn.Parameter]) -> None:
    """Replace each gradient by its mean over the processes; one that is missing counts as zero."""
    grads = [torch.zeros_like(one) if one.grad is None else one.grad for one in parameters]
    for parameter, mean in zip(parameters, _mean(fabric, grads), strict=True):
        parameter.grad = mean


def average_buffers(fabric: Fabric, modules: Iterable[nn.Module], more: Iterable[Tensor] = ()) -> None:
    """Replace each floating-point buffer (BatchNorm statistics) by its mean over the processes, and ``more`` too."""
    buffers = [one for module in modules for one in module.buffers() if one.is_floating_point()]
    buffers += more
    if fabric.world_size > 1 and buffers:
        for buffer, mean in zip(buffers, _mean(fabric, buffers), strict=True):
            buffer.copy_(mean)


def batch_norms(connectors: Iterable[nn.Module]) -> list[nn.Module]:
    """Their BatchNorm layers; other buffers of connectors, such as memories, differ between processes by design."""
    return [part for one in connectors for part in one.modules() if isinstance(part, _BatchNorm)]


def _mean(fabric: Fabric, tensors: Sequence[Tensor]) -> list[Tensor]:
    flat = torch.cat([one.detach().float().reshape(-1) for one in tensors])
    mean = fabric.all_reduce(flat, reduce_op="mean")
    assert isinstance(mean, Tensor)
    parts = torch.split(mean, [one.numel() for one in tensors])
    return [
        torch.empty_like(one).copy_(part.view(one.shape)) for one, part in zip(tensors, parts, strict=True)
    ]
