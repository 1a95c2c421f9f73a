"""Stage numbers as hyper-parameters."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from kdzoo.api import KdzooError, Taps

Stages = Annotated[tuple[int, ...], Field(min_length=1), AfterValidator(lambda stages: Taps(stages).student)]
"""Stages counted from the deepest, -1, ordered from shallow to deep."""


def paired(name: str, stages: Stages, teacher_stages: Stages | None) -> Taps:
    """Taps for pairs of stages.

    Raises:
        KdzooError: student and teacher have different numbers of stages.
    """
    if teacher_stages is not None and len(teacher_stages) != len(stages):
        raise KdzooError(
            f"knowledge.teacher_stages ({name}): {teacher_stages} must pair up with stages {stages}"
        )
    return Taps(student=stages, teacher=teacher_stages)
