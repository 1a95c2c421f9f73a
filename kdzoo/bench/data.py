"""A suite's data, opened before runs are planned, because their content is part of a run's identity."""

from __future__ import annotations

from collections.abc import Callable

from kdzoo.api.observer import Event, Preparing, Warned
from kdzoo.data.once import Once
from kdzoo.errors import KdzooError
from kdzoo.recipe.data import DataConfig
from kdzoo.recipe.decides import DataFacts

EMBEDDED = "digits"
"""The embedded data set, which is always present and needs no decoding."""


class SuiteData:
    """Opens each data set of a suite once, with all cores, so that runs find it decoded.

    Args:
        notify: receives the progress of the decoding and warnings about the data.
        labelled: refuse data whose test images have no labels.
    """

    def __init__(
        self, notify: Callable[[Event], None] = lambda event: None, *, labelled: bool = True
    ) -> None:
        self._notify, self._labelled = notify, labelled
        self._once = Once()
        self._facts: dict[str, DataFacts] = {}
        self._told: set[str] = set()

    def facts(self, config: DataConfig, student: str) -> DataFacts:
        """The facts about these data that identify a run of this ``student``, a role's ``model``.

        Raises:
            KdzooError: the data cannot be used; raised before a worker is started or a file is written.
        """
        plain = config.model_copy(update={"workers": None})
        key = plain.model_dump_json() + student
        if key not in self._facts:
            self._facts[key] = self._open(plain, student)
        return self._facts[key]

    def release(self) -> None:
        """Release the samples; keep the facts."""
        self._once = Once()

    def _open(self, config: DataConfig, student: str) -> DataFacts:
        import torch

        from kdzoo.backbone.evaluation import evaluation_of
        from kdzoo.data.open import open_data
        from kdzoo.jobs.identity import facts_of

        data = open_data(
            config,
            seed=0,
            device=torch.device("cpu"),
            progress=lambda label, done, total: self._notify(Preparing(label, done, total)),
            warn=self._tell,
            once=self._once,
            evaluation=evaluation_of(student),
        )
        if self._labelled and not bool((data.test.split.target >= 0).any()):
            raise KdzooError(
                f"data_dir {config.data_dir}: the test images have no labels, and a suite compares test accuracies"
            )
        for note in data.notes:
            self._tell(note)
        if data.unreadable:
            count = len(data.unreadable)
            (name, reason), *_ = data.unreadable.items()
            self._tell(
                f"{count} unreadable image{'s' if count > 1 else ''} left out, such as {name} ({reason})"
            )
        return facts_of(data)

    def _tell(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            self._notify(Warned(message))
