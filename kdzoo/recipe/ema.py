"""The moving average of the students' weights."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from kdzoo.recipe.section import Section


class EmaConfig(Section):
    """The exponential moving average of each student's weights and buffers, as timm's ``ModelEmaV3`` computes it."""

    decay: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None,
        description="decay of an update; the students end each phase with their averages, which are exported; "
        "default: no average",
    )
    warmup: bool = Field(
        False, description="begin with a small decay, 1 - (1 + updates)^(-2/3), that rises to decay"
    )

    @model_validator(mode="after")
    def _averages(self) -> EmaConfig:
        if self.warmup and self.decay is None:
            raise ValueError("warmup is that of an average: set decay too")
        return self
