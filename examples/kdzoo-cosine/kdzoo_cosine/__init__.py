"""Cosine, a knowledge for kdzoo.

The hooks return import paths and import nothing, so that ``kdzoo list`` stays fast.
"""

from __future__ import annotations

from pathlib import Path

from kdzoo.api import hookimpl


@hookimpl
def kdzoo_knowledge() -> dict[str, str]:
    """Name -> ``package.module:Class``."""
    return {"cosine": "kdzoo_cosine.cosine:Cosine"}


@hookimpl
def kdzoo_registry() -> Path:
    """The methods that this package adds to ``kdzoo list``."""
    return Path(__file__).parent / "registry.yaml"
