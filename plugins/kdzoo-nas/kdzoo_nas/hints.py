"""Types of hyper-parameters shared by the searches."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Len
from pydantic import AfterValidator, Field, PositiveFloat

__all__ = ["Factors", "Fraction", "Kernels", "Most"]


def _odd(size: int) -> int:
    if size % 2 == 0:
        raise ValueError("a kernel size must be odd")
    return size


Factors = Annotated[tuple[PositiveFloat, ...], Len(1)]
"""At least one factor > 0."""

Kernels = Annotated[tuple[Annotated[int, Field(ge=3), AfterValidator(_odd)], ...], Len(1)]
"""At least one odd size >= 3."""

Fraction = Annotated[float, Field(gt=0, lt=1)]
"""Between 0 and 1."""

Most = Annotated[float, Field(gt=0)] | None
"""A bound, or none."""
