"""Where tuning looks for the best value of a hyper-parameter."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tune:
    """An annotation of a hyper-parameter's type: ``Annotated[PositiveFloat, Tune(1, 20, log=True)]``.

    Without one, tuning searches the whole range of a number whose type has both bounds, evenly, and leaves every
    other hyper-parameter at the method's own value. A range grows to include that value.

    Attributes:
        low: lower end; default: the type's.
        high: upper end; default: the type's.
        log: whether values are drawn evenly over their logarithm.
        around: search from the method's own value divided by this to the value times this, over the logarithm, as
            suits a weight whose size depends on its loss. A weight of 0 stays 0.
        taught: search it only in recipes with a knowledge.
        fixed: never search it, such as a setting of the evaluation.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    around: float | None = None
    taught: bool = False
    fixed: bool = False

    def __post_init__(self) -> None:
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"Tune: low must be less than high, not {self.low:g} and {self.high:g}")
        if self.log and self.low is not None and self.low <= 0:
            raise ValueError(f"Tune: log needs a low above 0, not {self.low:g}")
        if self.around is not None and not self.around > 1:
            raise ValueError(f"Tune: around must be more than 1, not {self.around:g}")
