"""Named random generators."""

from __future__ import annotations

from typing import Any

import torch

from kdzoo.seeds import derive_seed

_PREFIX = "generator/"


class Generators:
    """One generator for each name, seeded by (seed, name, process); resumed, it takes its state from ``saved``."""

    def __init__(self, seed: int, device: torch.device, rank: int, saved: dict[str, Any]) -> None:
        self._seed, self._device, self._rank, self._saved = seed, device, rank, saved
        self._made: dict[str, torch.Generator] = {}

    def get(self, name: str) -> torch.Generator:
        """See :meth:`kdzoo.api.Run.generator`."""
        if name not in self._made:
            made = torch.Generator(self._device)
            made.manual_seed(derive_seed(self._seed, "generator", name, self._rank))
            state = self._saved.pop(f"{_PREFIX}{name}", None)
            if state is not None:
                made.set_state(state["state"].cpu())
            self._made[name] = made
        return self._made[name]

    def state_dict(self) -> dict[str, Any]:
        """The state of each."""
        return {f"{_PREFIX}{name}": {"state": one.get_state()} for name, one in self._made.items()}

    def seed(self, seed: int) -> None:
        """Seed all that were created, each differently; for the conformance kit."""
        for name, one in self._made.items():
            one.manual_seed(derive_seed(seed, "generator", name, self._rank))

    def clear(self) -> None:
        """Create them again, from their seeds or their saved states."""
        self._made.clear()

    def move(self, device: torch.device) -> None:
        """Use another device, starting again from the seeds."""
        self._device = device
        self.clear()
