"""Whether the images of the test and validation split are used for training."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils.hooks import RemovableHandle

from kdzoo.api.algorithm import Phase
from kdzoo.api.batch import Batch
from kdzoo.api.run import Run
from kdzoo.engine.listeners import Listener, Moment
from kdzoo.testing.watch import running

_BATCHES = 8
"""Number of batches of each split that are compared with."""

_IMAGES = 4
"""Dimensions of a batch of images."""


class Splits(Listener):
    """Looks at the data of phases, and at the images that networks in train mode get in a step.

    Attributes:
        found: ``test`` or ``val`` -> how it is used for training.
    """

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._images: dict[str, list[Tensor]] = {}
        self._hook: RemovableHandle | None = None

    def run_began(self, run: Run) -> None:
        """Keep images of both splits."""
        for name, split in (("test", run.data.test), ("val", run.data.val)):
            batches = [] if split is None else list(islice(split, _BATCHES))
            self._images[name] = [one for batch in batches for one in batch.inputs.values()]

    def phase_began(self, run: Run, phase: Phase, steps: int, epoch: int) -> None:
        """Look at the phase's data."""
        for name, split in (("test", run.data.test), ("val", run.data.val)):
            if split is not None and phase.data is split:
                self.found.setdefault(name, f"it is the data of the phase {phase.name!r}")

    def step_began(self, run: Run, batch: Batch, moment: Moment) -> None:
        """Look at the images of every network from here on."""
        self.close()
        learning = {id(one.module) for one in running(run).members.values() if one.learns}

        def look(module: nn.Module, given: tuple[Any, ...]) -> None:
            if id(module) in learning and module.training and torch.is_grad_enabled():
                self._look([one for one in given if isinstance(one, Tensor) and one.ndim == _IMAGES])

        self._hook = register_module_forward_pre_hook(look)

    def step_ended(self, run: Run, batch: Batch, figures: Mapping[str, Tensor], moment: Moment) -> None:
        """No longer look."""
        self.close()

    def close(self) -> None:
        """Remove the hook."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def _look(self, given: list[Tensor]) -> None:
        for name, kept in self._images.items():
            for images in given:
                same = torch.zeros(len(images), dtype=torch.bool)
                for one in kept:
                    if one.shape[1:] == images.shape[1:]:
                        same |= (images.detach()[:, None] == one[None]).flatten(2).all(2).any(1)
                if 2 * int(same.sum()) > len(images):
                    self.found.setdefault(name, "a network in train mode gets its images in a step")
