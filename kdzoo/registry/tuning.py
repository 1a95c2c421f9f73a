"""How a suite tunes its methods: candidates that it names, or a number of trials."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, PlainSerializer, PlainValidator, PositiveInt, TypeAdapter, model_validator

from kdzoo.recipe.section import Section

EVERY = "*"
"""All methods that are not listed."""

Candidates = dict[str, tuple[dict[str, Any], ...]]
"""Method -> settings (dotted keys) to try."""


class Range(Section):
    """Where to search a key of the recipe."""

    low: float
    high: float
    log: bool = Field(False, description="draw evenly over the logarithm")

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if not self.low < self.high:
            raise ValueError(f"low must be less than high, not {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs a low above 0, not {self.low:g}")
        return self


class Budget(Section):
    """The same number of trials for every method, the baseline among them; Optuna proposes the settings."""

    trials: Annotated[int, Field(ge=1, le=10_000)] = Field(
        description="settings to try; the first are the method's own"
    )
    at_once: PositiveInt = Field(
        4,
        description="trials that are proposed together and can run at the same time; the next learn from them",
    )
    val_fraction: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="part of train held back for validation in trials, where the protocol has no validation split",
    )
    space: dict[str, dict[str, Range | None]] = Field(
        default_factory=dict,
        description="method, or '*', -> dotted keys with ranges that replace the declared ones; null: not searched",
    )

    def space_of(self, method: str) -> dict[str, Range | None]:
        """The ranges that the suite has for a method."""
        return {**self.space.get(EVERY, {}), **self.space.get(method, {})}


_CANDIDATES: TypeAdapter[Candidates] = TypeAdapter(Candidates)


def _either(value: Any) -> Candidates | Budget:
    """A budget is told by its key ``trials``, so that an error names the keys of what was meant."""
    if isinstance(value, Budget):
        return value
    if isinstance(value, dict) and "trials" in value and not isinstance(value["trials"], list | tuple):
        return Budget.model_validate(value)
    return _CANDIDATES.validate_python(value)


def _plain(tune: Candidates | Budget) -> dict[str, Any]:
    return tune.model_dump(exclude_unset=True) if isinstance(tune, Budget) else tune


Tuning = Annotated[Candidates | Budget, PlainValidator(_either), PlainSerializer(_plain)]
