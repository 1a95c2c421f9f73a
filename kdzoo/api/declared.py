"""The roles for which a recipe may name networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class DeclaredRole:
    """A role whose network a recipe may name; a scheme or an algorithm declares it.

    If it has neither ``like`` nor ``default`` and is not optional, the recipe must name its network.

    Attributes:
        name: the role.
        meaning: its part in the training, for ``kdzoo show``.
        like: the role whose network it has where the recipe names none, as in ``run.build(name, like=like)``.
        default: its network where the recipe names none: a model, or keys of ``roles.ROLE`` such as
            ``{"model": "resnet20", "drop_path": 0.1}``. It is written into the recipe.
        optional: whether the training can do without it.
    """

    name: str
    meaning: str
    like: str | None = None
    default: str | Mapping[str, Any] | None = None
    optional: bool = False

    @property
    def required(self) -> bool:
        """Whether the recipe must name its network."""
        return not self.optional and self.like is None and self.default is None
