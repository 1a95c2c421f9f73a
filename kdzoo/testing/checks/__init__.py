"""The checks, one file per family; importing them registers them."""

from kdzoo.testing.checks import (
    device,
    gradient,
    passes,
    processes,
    reduction,
    repeat,
    roles,
    settings,
    writing,
)

__all__ = ["device", "gradient", "passes", "processes", "reduction", "repeat", "roles", "settings", "writing"]
