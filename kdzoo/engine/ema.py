"""The exponential moving average of a student's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from kdzoo.recipe.ema import EmaConfig

_WARMUP_POWER = 2 / 3


class MovingAverage:
    """The average over the updates of a phase: what timm's ``ModelEmaV3`` computes, without a second module.

    Args:
        decay: part of the average that an update keeps; the first update sets it to the weights.
        warmup: begin with the decay ``1 - (1 + updates)^(-2/3)`` while that is smaller.

    Attributes:
        updates: how many it has seen.
        tensors: the averaged state of the module: floating-point parameters and buffers are averages, other buffers
            are those of the last update.
    """

    def __init__(self, decay: float, warmup: bool = False) -> None:
        self.updates = 0
        self.tensors: dict[str, Tensor] = {}
        self._decay, self._warmup = decay, warmup

    @classmethod
    def of(cls, config: EmaConfig) -> MovingAverage | None:
        """A new average; None if the recipe wants none."""
        return None if config.decay is None else cls(config.decay, config.warmup)

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Average the module's weights in, after an update of these."""
        weights = module.state_dict()
        if self.updates == 0:
            self.tensors = copied(weights)
        else:
            floating = [name for name, one in weights.items() if one.is_floating_point()]
            averages = [self.tensors[name] for name in floating]
            torch._foreach_lerp_(averages, [weights[name] for name in floating], weight=1.0 - self._decay_now)
            for name in weights.keys() - set(floating):
                self.tensors[name].copy_(weights[name])
        self.updates += 1

    @property
    def _decay_now(self) -> float:
        if not self._warmup:
            return self._decay
        return min(float(1 - (1 + self.updates) ** -_WARMUP_POWER), self._decay)

    def buffers(self, module: nn.Module) -> list[Tensor]:
        """The averages of the module's floating-point buffers."""
        names = [name for name, one in module.named_buffers() if one.is_floating_point()]
        return [self.tensors[name] for name in names if name in self.tensors]

    def state_dict(self) -> dict[str, Any]:
        """As tensors and plain values."""
        return {"updates": self.updates, "tensors": self.tensors}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        self.updates, self.tensors = saved["updates"], copied(saved["tensors"])


def copied(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of tensors by name."""
    return {name: one.detach().clone() for name, one in weights.items()}


@contextmanager
def with_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Other weights in the module inside the block."""
    own = copied(module.state_dict())
    module.load_state_dict(weights)
    try:
        yield
    finally:
        module.load_state_dict(own)
