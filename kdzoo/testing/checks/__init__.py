"""The checks, a file for each family; importing them registers them."""

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
