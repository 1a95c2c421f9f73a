"""Opening a suite's data before any run does."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kdzoo.api.observer import Event, Preparing, Warned
from kdzoo.recipe.model import DataConfig

EMBEDDED = "digits"
"""The data set that cannot be missing or broken and needs no decoding; opening it early would gain nothing."""


def open_first(configs: Iterable[DataConfig], notify: Callable[[Event], None]) -> None:
    """Open each data set once, with all cores, so that every run finds it decoded.

    Args:
        configs: the data of the runs; those that differ in nothing but their workers are one.
        notify: is told the progress of the decoding and warnings about the data.

    Raises:
        KdzooError: whatever is wrong with the data, before a worker is started or a file is written.
    """
    plain = (config.model_copy(update={"workers": None}) for config in configs if config.dataset != EMBEDDED)
    for config in {config.model_dump_json(): config for config in plain}.values():
        import torch

        from kdzoo.data.open import open_data

        data = open_data(
            config,
            seed=0,
            device=torch.device("cpu"),
            progress=lambda label, done, total: notify(Preparing(label, done, total)),
        )
        for note in data.notes:
            notify(Warned(note))
        if data.skipped:
            count = len(data.skipped)
            notify(
                Warned(
                    f"{count} unreadable image{'s' if count > 1 else ''} left out, such as {data.skipped[0]}"
                )
            )
