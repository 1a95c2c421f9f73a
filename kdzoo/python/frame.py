"""Rows as a DataFrame, where pandas is installed."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any


def frame(rows: Sequence[dict[str, Any]]) -> Any:
    """A ``pandas.DataFrame`` of the rows; the list itself without pandas."""
    try:
        pandas = importlib.import_module("pandas")
    except ImportError:
        return list(rows)
    return pandas.DataFrame(rows)
