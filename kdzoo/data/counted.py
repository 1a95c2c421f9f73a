"""Names and numbers in messages."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence


def counted(number: int, what: str) -> str:
    """``1 link``, ``2 links``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def some(names: Sequence[str], shown: int = 5) -> str:
    """The first few names, and how many more there are."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")


def by_suffix(names: Iterable[str]) -> str:
    """How many files there are of each suffix."""
    kinds = Counter(os.path.splitext(name)[1].lower() or "without suffix" for name in names)
    return some([f"{count} {kind}" for kind, count in kinds.most_common()])
