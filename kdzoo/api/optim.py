"""Optimizer settings of a role, for ``run.enroll``."""

from kdzoo.recipe.model import OptimConfig

__all__ = ["OptimConfig"]
