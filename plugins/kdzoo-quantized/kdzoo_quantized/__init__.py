"""Quantized students: few bits for weights and activations, learned with a full-precision teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdzoo.api import hookimpl

if TYPE_CHECKING:
    from kdzoo.api import Algorithm


@hookimpl
def kdzoo_algorithms() -> list[type[Algorithm]]:
    """The ways in which a student of few bits is taught."""
    return []
