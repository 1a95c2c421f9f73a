"""What flags say of the data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kdzoo.errors import KdzooError
from kdzoo.recipe.layers import Layer


def keys_of(layers: Iterable[Layer]) -> dict[str, Any]:
    """The keys of the recipe's ``data`` that the layers set.

    Raises:
        KdzooError: a layer sets something else.
    """
    values: dict[str, Any] = {}
    for layer in layers:
        for section, content in layer.values.items():
            if section != "data" or not isinstance(content, dict):
                raise KdzooError(f"{layer.source}: {section} is no key of data, and only those count here")
            values.update(content)
    return values
