"""The device that networks of torch run on."""

from __future__ import annotations

import torch

from kdzoo.errors import KdzooError


def device_of(name: str) -> torch.device:
    """``cpu``, ``cuda``, ``mps``, or with ``auto`` the best that is there.

    Raises:
        KdzooError: there is no such device here.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, usable in there.items() if usable))
    if not there.get(name.partition(":")[0], False):
        raise KdzooError(
            f"--device {name}: not here; there is {', '.join(kind for kind in there if there[kind])}"
        )
    return torch.device(name)
