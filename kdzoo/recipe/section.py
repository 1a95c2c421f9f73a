"""What every part of a recipe has in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[int, Field(gt=0, le=4096)]

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=100)]
"""Of a method or a suite, which is also a part of a folder's name: one that begins with a dot may lead elsewhere."""


class Section(BaseModel):
    """A part of the recipe: unknown keys are refused, values do not change afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
