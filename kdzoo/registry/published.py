"""Published figures: accuracies that papers, reimplementations and public logs state, as data."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from kdzoo.recipe.section import Name, Section

TEACHER = "teacher"
"""The name in a table for the accuracy of the pair's teacher."""

Statistic = Literal["last", "best", "unknown"]
Accuracy = Annotated[float, Field(ge=0, le=100)]
PairName = Annotated[str, Field(pattern=r"^[^\s>]+>[^\s>]+$", max_length=100)]

_STATISTICS = {
    "last": "last epoch",
    "best": "best epoch, chosen on the test split",
    "unknown": "last or best epoch, not stated",
}


class Terms(Section):
    """What one must know of a figure to compare with it."""

    source: str = Field(min_length=1, description="paper and table, or log; as a reader finds it")
    statistic: Statistic = Field(
        description="test accuracy at the last epoch, at the best epoch on the test split, or not stated"
    )
    runs: PositiveInt | None = Field(
        None, description="number of runs of which it is the mean; none: not stated"
    )
    differences: str = Field("", description="how the protocol differs from the suite's")

    @property
    def of(self) -> str:
        """What it is the accuracy of: ``last epoch, mean of 5 runs``."""
        runs = "" if self.runs is None else ", one run" if self.runs == 1 else f", mean of {self.runs} runs"
        return _STATISTICS[self.statistic] + runs


class PublishedTable(Terms):
    """Figures of one source on the pairs of a suite: method -> accuracies in percent, null where there is none."""

    pairs: tuple[PairName, ...] = Field(min_length=1, description="the columns: pairs of the suite by name")
    figures: dict[Name, tuple[Accuracy | None, ...]] = Field(
        min_length=1, description="method, or teacher, -> one accuracy for each pair"
    )

    @model_validator(mode="after")
    def _rectangular(self) -> PublishedTable:
        for method, row in self.figures.items():
            if len(row) != len(self.pairs):
                raise ValueError(f"{method} has {len(row)} figures for {len(self.pairs)} pairs")
        return self

    def only(self, pairs: Collection[str]) -> PublishedTable | None:
        """The columns of some pairs; None without any."""
        kept = [place for place, pair in enumerate(self.pairs) if pair in pairs]
        if not kept:
            return None
        return self.model_copy(
            update={
                "pairs": tuple(self.pairs[place] for place in kept),
                "figures": {name: tuple(row[place] for place in kept) for name, row in self.figures.items()},
            }
        )


class PublishedFigure(Terms):
    """A figure of a method on a pair of a suite, in percent."""

    suite: Name = Field(description="a suite with the same networks and data")
    pair: PairName = Field(description="name of one of its pairs")
    value: Accuracy = Field(description="test accuracy in percent")


class RecordedFigure(PublishedFigure):
    """A published figure in the ledger of a suite."""

    method: Name


@dataclass(frozen=True)
class Figure:
    """One published accuracy in percent.

    Attributes:
        suite: the suite with the same networks and data.
        method: a method's name in the registry, or one that the registry does not have, or ``teacher``.
        pair: name of the pair in the suite.
        value: in percent.
        terms: its source and what was averaged.
    """

    suite: str
    method: str
    pair: str
    value: float
    terms: Terms

    @property
    def of(self) -> str:
        """What it is the accuracy of: ``last epoch, mean of 5 runs``."""
        return self.terms.of


def recorded_figure(figure: Figure) -> RecordedFigure:
    """The figure as a ledger has it."""
    terms = figure.terms.model_dump(include=set(Terms.model_fields))
    return RecordedFigure(
        suite=figure.suite, method=figure.method, pair=figure.pair, value=figure.value, **terms
    )


def figures_of_table(suite: str, table: PublishedTable) -> Iterator[Figure]:
    """The figures of a suite's table, row by row."""
    for method, row in table.figures.items():
        for pair, value in zip(table.pairs, row, strict=True):
            if value is not None:
                yield Figure(suite, method, pair, value, table)


def preferred(figures: Sequence[RecordedFigure]) -> RecordedFigure | None:
    """The figure to compare a last epoch with: one of the last epoch if there is any, else the first."""
    return next((one for one in figures if one.statistic == "last"), figures[0] if figures else None)
