"""Stripes, a plugin for kdzoo: losses, a data set, a network, a command, a category of methods.

The hooks return import paths and import nothing, so that ``kdzoo list`` stays fast.
"""

from __future__ import annotations

from pathlib import Path

from kdzoo.api import hookimpl


@hookimpl
def kdzoo_knowledge() -> dict[str, str]:
    """Name -> ``package.module:Class``."""
    return {
        "logit-distance": "kdzoo_stripes.losses:LogitDistance",
        "map-distance": "kdzoo_stripes.losses:MapDistance",
    }


@hookimpl
def kdzoo_datasets() -> dict[str, str]:
    """Data sets for ``--dataset``."""
    return {"stripes": "kdzoo_stripes.data:Stripes"}


@hookimpl
def kdzoo_backbones() -> list[str]:
    """Modules that register networks with timm on import."""
    return ["kdzoo_stripes.networks"]


@hookimpl
def kdzoo_commands() -> dict[str, str]:
    """The command ``kdzoo stripes``."""
    return {"stripes": "kdzoo_stripes.sheet:stripes"}


@hookimpl
def kdzoo_registry() -> Path:
    """The methods that this package adds to ``kdzoo list``."""
    return Path(__file__).parent / "registry.yaml"
