"""The checks, one file per family; importing them registers them."""

from kdzoo.testing.checks import (
    device,
    events,
    gradient,
    passes,
    processes,
    reduction,
    repeat,
    roles,
    settings,
    writing,
)

__all__ = [
    "device",
    "events",
    "gradient",
    "passes",
    "processes",
    "reduction",
    "repeat",
    "roles",
    "settings",
    "writing",
]
