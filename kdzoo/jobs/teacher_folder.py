"""Where the cache keeps a teacher. Light on purpose: importing this does not import torch."""

from __future__ import annotations

from pathlib import Path

from kdzoo.places import cache_folder
from kdzoo.recipe.identity import Identity
from kdzoo.recipe.roles import RoleConfig


def teacher_folder(role: RoleConfig, identity: Identity) -> Path:
    """The cache folder of the teacher with this identity."""
    return cache_folder() / "teachers" / f"{readable(role.model)}-{identity.key[:16]}"


def readable(model: str) -> str:
    """Letters and digits only, of the last part of a path."""
    return "".join(letter if letter.isalnum() else "_" for letter in Path(model).name)
