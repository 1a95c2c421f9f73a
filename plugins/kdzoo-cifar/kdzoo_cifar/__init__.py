"""The field's own benchmark: its CIFAR networks, its protocols as suites, and the published figures."""

from __future__ import annotations

from pathlib import Path

from kdzoo.api import hookimpl


@hookimpl
def kdzoo_backbones() -> list[str]:
    """The module that registers the networks with timm."""
    return ["kdzoo_cifar.networks"]


@hookimpl
def kdzoo_registry() -> Path:
    """The protocols as suites, with the figures published for each."""
    return Path(__file__).parent / "registry.yaml"
