"""A comparison of networks for readers: as plain data, as lines for a terminal, as a page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from kdzoo.page import render_page
from kdzoo.use.data import Labelled
from kdzoo.use.evaluation import ABOUT, notes
from kdzoo.use.latency import Conditions, Latency, facts
from kdzoo.use.measure import Pass, majority
from kdzoo.use.words import end_of, millions, percent, printable, shortened

_Z = 1.959964
"""Of a 95% interval."""


def difference(first: Tensor, other: Tensor, targets: Tensor) -> tuple[float, float]:
    """By how many points ``other`` is more accurate than ``first``, and half of the 95% interval.

    The pictures are paired: those that both name rightly or both wrongly say nothing. The interval is the normal one
    for a mean of differences of -1, 0 and 1.

    Args:
        first: (n,) class ids that it named.
        other: (n,) likewise.
        targets: (n,) true class ids.
    """
    each = (other == targets).double() - (first == targets).double()
    mean = float(each.mean())
    spread = float(each.std(correction=0)) if len(each) > 1 else 0.0
    return 100 * mean, 100 * _Z * spread / math.sqrt(len(each))


def agreement(found: Sequence[Tensor]) -> list[list[float]]:
    """Percent of the pictures for which each two name the same class of the data."""
    return [[100 * float(((one == two) & (one >= 0)).double().mean()) for two in found] for one in found]


def rows_of(result: Pass, latencies: Sequence[Latency]) -> list[dict[str, Any]]:
    """A row of figures for each network."""
    rows = []
    first = result.models[0]
    for one, latency in zip(result.models, latencies, strict=True):
        points, half = difference(first.found, one.found, result.targets)
        rows.append(
            {
                "name": printable(one.model.name),
                **one.figures(),
                "points": points,
                "half_width": half,
                "difference": "" if one is first else f"{points:+.2f} ± {half:.2f}".replace("-", "−"),
                "sure": one is not first and abs(points) > half,
                "bytes": one.model.bytes,
                "parameters": one.model.description.parameters,
                "multiply_adds": one.model.description.multiply_adds,
                "latency": latency,
            }
        )
    return rows


def as_data(
    result: Pass, data: Labelled, latencies: Sequence[Latency], conditions: Conditions
) -> dict[str, Any]:
    """Everything as plain data."""
    largest, baseline = majority(result.targets, data.classes)
    left_out = "latency", "difference", "sure"
    networks = [
        {
            **{key: value for key, value in row.items() if key not in left_out},
            "latency": facts(row["latency"]),
        }
        for row in rows_of(result, latencies)
    ]
    for network, one in zip(networks, result.models, strict=True):
        network["classes"] = one.by_class(data.classes)
    return {
        "data": data.what,
        "pictures": len(result.targets),
        "networks": networks,
        "majority": {"class": largest, **baseline},
        "agreement": agreement([one.found for one in result.models]),
        "conditions": vars(conditions),
        "unreadable": result.unreadable,
    }


def lead(rows: Sequence[dict[str, Any]]) -> str:
    """Which is the most accurate, and whether the pictures suffice to say so."""
    best = max(rows, key=lambda row: row["accuracy"] or 0.0)
    if best is rows[0]:
        rivals = [row for row in rows[1:] if not row["sure"]]
        sure = (
            f"; the pictures do not tell it apart from {', '.join(row['name'] for row in rivals)}"
            if rivals
            else ""
        )
        return f"{best['name']} is the most accurate, {percent(best['accuracy'])} %{sure}."
    told = (
        "more than chance explains (95% interval)"
        if best["sure"]
        else "which these pictures cannot tell from chance"
    )
    return (
        f"{best['name']} is the most accurate, {percent(best['accuracy'])} %: {best['points']:+.2f} points against "
        f"{rows[0]['name']}, {told}."
    )


def lines(
    result: Pass, data: Labelled, latencies: Sequence[Latency], conditions: Conditions, width: int
) -> Iterator[str]:
    """The main figures in so many columns."""
    rows = rows_of(result, latencies)
    largest, baseline = majority(result.targets, data.classes)
    room = max(width - 59, 12)
    yield f"{len(result.targets)} pictures, {data.what}"
    yield f"{'network':{room}}{'accuracy':>9}{'minus first':>16}{'macro F1':>9}{'MB':>8}{'M madds':>8}{'ms':>8}"
    for row in rows:
        cells = (
            f"{percent(row['accuracy']):>9}{row['difference']:>16}{percent(row['macro_f1']):>9}"
            f"{row['bytes'] / 1e6:>8.2f}{millions(row['multiply_adds'], 1):>8}{row['latency'].median:>8.2f}"
        )
        yield f"{end_of(row['name'], room):{room}}{cells}"
    name = shortened(f"always {largest}", room)
    yield f"{name:{room}}{percent(baseline['accuracy']):>9}{'':16}{percent(baseline['macro_f1']):>9}"
    yield ""
    yield lead(rows)
    found = agreement([one.found for one in result.models])
    for number, row in enumerate(rows[1:], 1):
        yield f"{row['name']} agrees with {rows[0]['name']} on {found[0][number]:.2f} % of the pictures."
    spread = "; ".join(f"{row['name']} {row['latency']}" for row in rows)
    yield f"Latency: {spread}. {conditions}."


def page(result: Pass, data: Labelled, latencies: Sequence[Latency], conditions: Conditions) -> str:
    """One HTML file that loads nothing."""
    rows = rows_of(result, latencies)
    largest, baseline = majority(result.targets, data.classes)
    recalls = [one.recalls() for one in result.models]
    classes = []
    for place, name in enumerate(data.classes):
        own = [one[place] for one in recalls]
        there = [value for value in own if value is not None]
        classes.append(
            {
                "class": name,
                "pictures": int(result.models[0].counts.labels[place]),
                "recalls": own,
                "best": max(there, default=None),
                "differ": len(set(there)) > 1,
            }
        )
    return render_page(
        "kdzoo.use",
        "comparison.html.jinja",
        {"percent": percent, "millions": millions},
        title=f"{len(rows)} networks on the same pictures",
        lead=lead(rows),
        notes=notes(result),
        rows=rows,
        majority=largest,
        baseline=baseline,
        about_figures=f"{ABOUT} Differences are paired by picture, with half of their 95% interval; a "
        "bold one has an "
        "interval that excludes 0.",
        conditions=str(conditions),
        agreement=agreement([one.found for one in result.models]),
        classes=classes,
        facts=[
            ("Pictures", f"{len(result.targets)}, {data.what}; {len(data.classes)} classes"),
            *(
                (row["name"], one.model.description.architecture)
                for row, one in zip(rows, result.models, strict=True)
            ),
            *(("Note", note) for note in data.notes),
        ],
    )
