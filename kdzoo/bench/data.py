"""A suite's data, opened before any run is planned: what they hold is part of what a run is known by."""

from __future__ import annotations

from collections.abc import Callable

from kdzoo.api.observer import Event, Preparing, Warned
from kdzoo.data.once import Once
from kdzoo.recipe.decides import DataFacts
from kdzoo.recipe.model import DataConfig

EMBEDDED = "digits"
"""The data set that cannot be missing or broken and needs no decoding."""


class SuiteData:
    """Opens each data set of a suite once, with all cores, so that every run finds it decoded.

    Args:
        notify: is told the progress of the decoding and warnings about the data.
    """

    def __init__(self, notify: Callable[[Event], None] = lambda event: None) -> None:
        self._notify = notify
        self._once = Once()
        self._facts: dict[str, DataFacts] = {}
        self._told: set[str] = set()

    def facts(self, config: DataConfig) -> DataFacts:
        """What a run on these data is known by.

        Raises:
            KdzooError: whatever is wrong with the data, before a worker is started or a file is written.
        """
        plain = config.model_copy(update={"workers": None})
        key = plain.model_dump_json()
        if key not in self._facts:
            self._facts[key] = self._open(plain)
        return self._facts[key]

    def release(self) -> None:
        """Let go of the samples; what is known of them stays."""
        self._once = Once()

    def _open(self, config: DataConfig) -> DataFacts:
        import torch

        from kdzoo.data.open import open_data
        from kdzoo.jobs.identity import facts_of

        data = open_data(
            config,
            seed=0,
            device=torch.device("cpu"),
            progress=lambda label, done, total: self._notify(Preparing(label, done, total)),
            warn=self._tell,
            once=self._once,
        )
        for note in data.notes:
            self._tell(note)
        if data.skipped:
            count = len(data.skipped)
            self._tell(
                f"{count} unreadable image{'s' if count > 1 else ''} left out, such as {data.skipped[0]}"
            )
        return facts_of(data)

    def _tell(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            self._notify(Warned(message))
