"""The conformance kit: finds common mistakes of distillation code in any installed component.

``kdzoo check NAME`` and ``pytest --kdzoo`` run it; ``docs/checks.md`` has the origin of each check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kdzoo.testing.check import CHECKS, Check, check
    from kdzoo.testing.finding import Finding
    from kdzoo.testing.kit import Outcome, examine, outcomes
    from kdzoo.testing.subject import Subject, subjects, subjects_of

_HOME = {
    "CHECKS": "check",
    "Check": "check",
    "check": "check",
    "Finding": "finding",
    "Outcome": "kit",
    "examine": "kit",
    "outcomes": "kit",
    "Subject": "subject",
    "subjects": "subject",
    "subjects_of": "subject",
}

__all__ = [
    "CHECKS",
    "Check",
    "Finding",
    "Outcome",
    "Subject",
    "check",
    "examine",
    "outcomes",
    "subjects",
    "subjects_of",
]


def __getattr__(name: str) -> Any:
    """Lazy import: pytest loads its plugin in every project, and most projects do not need torch."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    import_module("kdzoo.testing.kit")  # registers the checks
    return getattr(import_module(f"kdzoo.testing.{_HOME[name]}"), name)
