"""The core's own components, provided through the same hooks as everybody else's."""

from __future__ import annotations

from kdzoo.api import hookimpl


@hookimpl
def kdzoo_schemes() -> dict[str, str]:
    """The scheme in which a frozen teacher teaches one student."""
    return {
        "offline": "kdzoo.builtin.offline:Offline",
    }


@hookimpl
def kdzoo_algorithms() -> dict[str, str]:
    """Task loss plus knowledge in one phase, the knowledge first, or a training task of timm's."""
    return {
        "distill": "kdzoo.builtin.distill:Distill",
        "pretrain": "kdzoo.builtin.pretrain:Pretrain",
        "timm-task": "kdzoo.builtin.timm_task:TimmTask",
    }


@hookimpl
def kdzoo_observers() -> dict[str, str]:
    """The terminal and wandb."""
    return {
        "console": "kdzoo.observers.console:Console",
        "wandb": "kdzoo.observers.wandb:Wandb",
    }
