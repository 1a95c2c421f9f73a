"""The core's own components, provided through the same hooks as everybody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdzoo.api import hookimpl

if TYPE_CHECKING:
    from kdzoo.api import Algorithm, Observer, Scheme


@hookimpl
def kdzoo_schemes() -> list[type[Scheme]]:
    """The scheme in which a frozen teacher teaches one student."""
    from kdzoo.builtin.offline import Offline

    return [Offline]


@hookimpl
def kdzoo_algorithms() -> list[type[Algorithm]]:
    """Task loss plus knowledge in one phase, or the knowledge first."""
    from kdzoo.builtin.distill import Distill
    from kdzoo.builtin.pretrain import Pretrain

    return [Distill, Pretrain]


@hookimpl
def kdzoo_observers() -> list[type[Observer]]:
    """The terminal and wandb."""
    from kdzoo.observers.console import Console
    from kdzoo.observers.wandb import Wandb

    return [Console, Wandb]
