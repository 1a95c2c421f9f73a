"""Runs of kdzoo in TensorBoard: ``pip install ./kdzoo-tensorboard``, ``--set 'observers=[console, tensorboard]'``.

``tensorboard --logdir runs`` shows them: the event files are in ``tensorboard/`` in each run's folder.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import PositiveInt

from kdzoo.api import (
    EpochEnded,
    Event,
    Observer,
    Pictured,
    RunEnded,
    RunStarted,
    StepFigures,
    hookimpl,
)


@hookimpl
def kdzoo_observers() -> dict[str, str]:
    """Name -> ``package.module:Class``."""
    return {"tensorboard": "kdzoo_tensorboard:TensorBoard"}


class TensorBoard(Observer):
    """Figures of epochs and of single steps, pictures, the recipe and the result.

    Args:
        every: steps between two figures of single steps.
    """

    name = "tensorboard"

    def __init__(self, every: PositiveInt = 50) -> None:
        self.figures_every = every
        self._writer: Any = None

    def observe(self, event: Event) -> None:
        """Write the event."""
        if isinstance(event, RunStarted):
            from torch.utils.tensorboard import (
                SummaryWriter,
            )  # here, so that ``kdzoo list`` does without torch

            self._writer = SummaryWriter(str(event.folder / "tensorboard"))
            self._writer.add_text("recipe", f"```\n{json.dumps(event.recipe, indent=2, default=str)}\n```")
        elif self._writer is None:
            return
        elif isinstance(event, StepFigures):
            for name, value in event.metrics.items():
                self._writer.add_scalar(f"step/{name}", value, event.step)
        elif isinstance(event, EpochEnded):
            for name, value in event.metrics.items():
                self._writer.add_scalar(name, value, event.epoch)
        elif isinstance(event, Pictured):
            import numpy as np
            from PIL import Image

            self._writer.add_image(
                event.name, np.asarray(Image.open(event.path)), event.epoch, dataformats="HWC"
            )
        elif isinstance(event, RunEnded):
            self._writer.add_text("result", f"```\n{json.dumps(event.result, indent=2, default=str)}\n```")

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
