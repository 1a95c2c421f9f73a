"""Random numbers for building modules."""

from kdzoo.seeds import seeded

__all__ = ["seeded"]
