"""A recipe as plain data and as YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kdzoo.files import write_text
from kdzoo.recipe.model import Recipe
from kdzoo.yaml_text import to_yaml


def dump(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain data, ready for YAML or JSON."""
    return recipe.model_dump(mode="json")


def write(recipe: Recipe, path: Path) -> None:
    """Write the recipe as YAML that resolves to an equal recipe; whole or not at all."""
    write_text(path, to_yaml(dump(recipe)))
