"""A frozen teacher in parts, of which each process holds its own (FSDP2), for one that does not fit on a device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import torch
from torch import nn

from kdzoo.api.network import Backbone
from kdzoo.errors import KdzooError

_PARTS = 16
"""A part that is gathered to compute has at most such a share of the parameters, unless one layer has more."""

_LEAST = 256
"""What has less than such a share of the parameters stays whole on every process."""

_whole: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
"""Sharded networks, with the hash of their weights."""


def processes() -> int:
    """How many processes there are."""
    group = torch.distributed
    return group.get_world_size() if group.is_available() and group.is_initialized() else 1


def is_sharded(module: nn.Module) -> bool:
    """Whether this process holds a part of the network only, so that all have to ask it together."""
    return module in _whole


def whole_hash(module: nn.Module) -> str | None:
    """The hash of the weights of a sharded network, from when they were whole; None for any other."""
    return _whole.get(module)


@contextmanager
def told_of_copies() -> Iterator[None]:
    """A component that copies a sharded network, in words.

    Raises:
        KdzooError: in place of torch's error.
    """
    try:
        yield
    except AssertionError as error:
        if "FSDP does not support deepcopy" not in str(error):
            raise
        raise KdzooError(
            "roles.teacher.shard: the method copies the teacher or a part of it, and no process has all of it"
        ) from None


def shard(network: Backbone, device: torch.device, digest: str) -> None:
    """Leave each process a part of the parameters, on ``device``; those of a layer are gathered while it computes.

    Args:
        network: on the CPU, the same in every process.
        device: of this process.
        digest: the hash of its weights.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (processes(),))
    total = _size(network)
    network.requires_grad_(False)
    for part in list(_parts(network.model, total // _PARTS)):
        if _size(part) * _LEAST >= total:
            # Each for itself: what timm computes between them goes through no hook of the whole network.
            scalars = {one for one in part.parameters() if not one.ndim}  # which have no rows to share out
            fully_shard(part, mesh=mesh, reshard_after_forward=True, ignored_params=scalars)
    network.to(device)
    _whole[network] = digest


def _parts(module: nn.Module, most: int) -> Iterator[nn.Module]:
    """Modules that are called as such: the outermost of at most so many parameters, or single layers."""
    for child in module.children():
        container = isinstance(child, nn.Sequential | nn.ModuleList | nn.ModuleDict)
        if not container and (_size(child) <= most or not any(map(_size, child.children()))):
            yield child
        else:
            yield from _parts(child, most)


def _size(module: nn.Module) -> int:
    return sum(one.numel() for one in module.parameters())
