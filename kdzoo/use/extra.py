"""Packages that only exporting needs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from kdzoo.errors import KdzooError


def needed(module: str, what: str) -> Any:
    """The module of that name.

    Args:
        module: as it is imported; its first part is the distribution.
        what: needs it.

    Raises:
        KdzooError: it is not installed; says how it is.
    """
    try:
        return import_module(module)
    except ImportError:
        name = module.partition(".")[0]
        raise KdzooError(f"{what} needs {name}: pip install 'kdzoo[export]'") from None
