"""The checks, a file for each family; importing them registers them."""

from kdzoo.testing.checks import device, gradient, reduction, repeat, roles, settings, writing

__all__ = ["device", "gradient", "reduction", "repeat", "roles", "settings", "writing"]
