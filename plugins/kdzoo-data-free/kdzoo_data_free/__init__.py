"""Data-free distillation: the student learns from images that are made from the teacher alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdzoo.api import hookimpl

if TYPE_CHECKING:
    from kdzoo.api import Algorithm


@hookimpl
def kdzoo_algorithms() -> list[type[Algorithm]]:
    """The procedures, each with a generator or with images of its own."""
    return []
