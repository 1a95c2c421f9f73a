"""Whether stored outputs and the batch are the same at the end of a step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from kdzoo.api.batch import Batch, Output
from kdzoo.api.run import Run
from kdzoo.engine.listeners import Listener, Moment

_Noted = tuple[str, str, Tensor, Tensor]
"""Role or ``batch``, the part of it, the tensor, a copy."""


class Unchanged(Listener):
    """Compares outputs and the batch with copies.

    Attributes:
        found: role, or ``batch`` -> the part that was changed in place.
    """

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._noted: list[_Noted] = []

    def step_began(self, run: Run, batch: Batch, moment: Moment) -> None:
        """Copy the batch."""
        self._noted.clear()
        for name, one in batch.inputs.items():
            self._note("batch", f"its input {name!r}", one)
        if batch.target is not None:
            self._note("batch", "its target", batch.target)

    def seen(self, run: Run, role: str, batch: Batch, output: Output) -> None:
        """Copy the output."""
        for part, one in _parts(output):
            self._note(role, part, one)

    def step_ended(self, run: Run, batch: Batch, figures: Mapping[str, Tensor], moment: Moment) -> None:
        """Compare."""
        for name, part, one, copy in self._noted:
            if not torch.equal(one.detach().nan_to_num(), copy.nan_to_num()):
                self.found.setdefault(name, part)
        self._noted.clear()

    def _note(self, name: str, part: str, one: Tensor) -> None:
        self._noted.append((name, part, one, one.detach().clone()))


def _parts(output: Output) -> Iterator[tuple[str, Tensor]]:
    if output.has_logits:
        yield "its logits", output.logits
    if output.embedding is not None:
        yield "its embedding", output.embedding
    yield from (("a map", one) for one in output.features)
    yield from (("what a probe read", one) for kept in output.extras.values() for one in kept)
