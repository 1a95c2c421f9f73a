"""When a phase ends early."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from kdzoo.recipe.section import Section


class EarlyStoppingConfig(Section):
    """Ends a phase whose validation figure no longer rises. What the test split says has no part in it."""

    patience: PositiveInt | None = Field(
        None,
        description="validations without a better figure after which a phase ends; default: it is trained whole",
    )
    metric: Annotated[str, Field(pattern=r"^val/")] = Field(
        "val/accuracy", description="the figure, larger is better, as the epochs record it"
    )
