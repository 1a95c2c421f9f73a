"""How the figures of a result are called where people read them, and in which unit they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

FIGURES: Mapping[str, tuple[str, str]] = {
    "test/top5": ("top-5 test accuracy", "{:.2f} %"),
    "test/macro_f1": ("macro F1 on the test split", "{:.2f} %"),
    "test/ece": ("calibration error (ECE, 15 bins) on the test split", "{:.2f} %"),
    "test/agreement": ("predictions that agree with the teacher's on the test split", "{:.2f} %"),
    **{
        f"{key}/{role}{unit}": (f"{what} of the {role}", form)
        for role in ("student", "teacher")
        for key, unit, what, form in (
            ("size", "/parameters", "parameters", "{:,}"),
            ("size", "/multiply_adds", "multiply-adds for one image", "{:,}"),
            ("size", "/bytes", "bytes in memory", "{:,}"),
            ("latency", "_ms", "latency for one image", "{:.2f} ms"),
        )
    },
}
"""Key -> name, form. All of the last epoch."""


def named_figures(result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and value, as text, of those figures that ``result`` has."""
    for key, (name, form) in FIGURES.items():
        value = result.get(key)
        if value is not None:
            yield name, form.format(value)
