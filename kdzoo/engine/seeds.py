"""The engine's name for :mod:`kdzoo.seeds`."""

from kdzoo.seeds import capture, derive_seed, restore, seed_everything, seeded

__all__ = ["capture", "derive_seed", "restore", "seed_everything", "seeded"]
