"""The record of a search: for checkpoints, as JSON, as a picture."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdzoo.api import KdzooError
from kdzoo_nas.functional import pareto_front
from kdzoo_nas.space import Architecture, from_plain, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Trace:
    """The candidates of a search, in the order of their evaluation.

    Attributes:
        candidates: the architectures.
        costs: their costs.
        scores: their scores; higher is better.
        found: the selected architecture.
        cost: description of the costs.
        score: description of the scores.

    """

    candidates: tuple[Architecture, ...]
    costs: tuple[float, ...]
    scores: tuple[float, ...]
    found: Architecture
    cost: str
    score: str

    def dump(self) -> dict[str, Any]:
        """As plain values; the inverse of :meth:`load`."""
        return {
            **vars(self),
            "candidates": [plain(one) for one in self.candidates],
            "costs": list(self.costs),
            "scores": list(self.scores),
            "found": plain(self.found),
        }

    @classmethod
    def load(cls, saved: dict[str, Any]) -> Trace:
        """The inverse of :meth:`dump`."""
        return cls(
            **{
                **saved,
                "candidates": tuple(from_plain(one) for one in saved["candidates"]),
                "costs": tuple(saved["costs"]),
                "scores": tuple(saved["scores"]),
                "found": from_plain(saved["found"]),
            }
        )

    @property
    def front(self) -> list[int]:
        """Positions of the non-dominated candidates, cheapest first."""
        return pareto_front(self.costs, self.scores)

    def write(self, path: Path) -> None:
        """As JSON, one line for each candidate.

        Raises:
            KdzooError: it cannot be written.

        """
        front = set(self.front)
        rows = [
            {"stages": plain(one), "cost": cost, "score": score, "front": number in front}
            for number, (one, cost, score) in enumerate(
                zip(self.candidates, self.costs, self.scores, strict=True)
            )
        ]
        lines = ",\n".join(f"    {json.dumps(row)}" for row in rows)
        head = json.dumps({"cost": self.cost, "score": self.score, "found": plain(self.found)})[:-1]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f'{head}, "candidates": [\n{lines}\n]}}\n', encoding="utf-8")
        except OSError as error:
            raise KdzooError(f"{path}: cannot write the search: {error.strerror or error}") from None

    def figure(self) -> Figure:
        """Left: scores over the search; right: score against cost, with the front and the found architecture."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10, 4), layout="constrained")
        when, against = figure.subplots(1, 2, sharey=True)
        order = range(len(self.scores))
        best = [max(self.scores[: one + 1]) for one in order]
        when.scatter(order, self.scores, s=12, color="0.6", label="candidate")
        when.step(order, best, where="post", color="tab:blue", label="best so far")
        when.set(xlabel="candidate", ylabel=self.score)
        against.scatter(self.costs, self.scores, s=12, color="0.6", label="candidate")
        front = self.front
        against.plot(
            [self.costs[one] for one in front],
            [self.scores[one] for one in front],
            "o-",
            markersize=4,
            color="tab:blue",
            label="front",
        )
        found = self.candidates.index(self.found)
        against.plot(
            self.costs[found], self.scores[found], "*", markersize=14, color="tab:red", label="found"
        )
        against.set(xlabel=self.cost)
        for axes in (when, against):
            axes.legend()
            axes.grid(alpha=0.3)
        return figure
