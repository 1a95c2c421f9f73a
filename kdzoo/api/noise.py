"""Noise as the data of a phase, for algorithms that generate images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch

from kdzoo.api.batch import Batch
from kdzoo.api.options import choice
from kdzoo.api.run import Run
from kdzoo.counter_rng import key


class Noise:
    """Batches of noise, each a pure function of the run's seed, the name, the epoch and the step.

    So a resumed run gets the same noise as an uninterrupted one.

    Args:
        run: the run whose data this is.
        steps: batches in an epoch.
        shape: of one sample, such as (100,) for a generator's latent vectors; default: the images of the data.
        kind: ``uniform`` in [0, 1), as images are, or ``normal``, with mean 0 and variance 1.
        modality: its name in ``batch.inputs``.
        batch_size: default: that of the recipe's data.
        name: each name gives different noise.
    """

    def __init__(
        self,
        run: Run,
        steps: int,
        *,
        shape: tuple[int, ...] | None = None,
        kind: Literal["uniform", "normal"] = "uniform",
        modality: str = "image",
        batch_size: int | None = None,
        name: str = "noise",
    ) -> None:
        choice("kind", kind, ("uniform", "normal"))
        self._device = run.device
        self._steps = steps
        self._shape = shape or (run.data.channels["image"], run.data.img_size, run.data.img_size)
        self._kind = kind
        self._modality = modality
        self._batch_size = batch_size or run.recipe.data.batch_size
        self._key = key(f"{name}/{_rank()}", run.recipe.seed)
        self._epoch, self._start = 0, 0

    def __len__(self) -> int:
        return self._steps

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the epoch that the next iteration goes through, and how many batches it leaves out."""
        self._epoch, self._start = epoch, start

    def __iter__(self) -> Iterator[Batch]:
        shape = (self._batch_size, *self._shape)
        for step in range(self._start, self._steps):
            generator = torch.Generator(self._device).manual_seed(
                (self._key ^ key("step", self._epoch, step)) % (1 << 63)
            )
            draw = torch.rand if self._kind == "uniform" else torch.randn
            noise = draw(shape, generator=generator, device=self._device)
            index = torch.full((self._batch_size,), -1, device=self._device)
            yield Batch(index, {self._modality: noise})


def _rank() -> int:
    distributed = torch.distributed
    return distributed.get_rank() if distributed.is_available() and distributed.is_initialized() else 0
