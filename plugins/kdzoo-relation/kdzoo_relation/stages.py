"""Which stages a knowledge compares."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from kdzoo.api import KdzooError, Taps

Stages = Annotated[tuple[int, ...], AfterValidator(lambda stages: Taps(stages).student)]
"""Stages counted from the deepest, -1, ordered from shallow to deep."""


def paired(name: str, stages: tuple[int, ...], teacher_stages: tuple[int, ...] | None) -> Taps:
    """The taps of a knowledge that compares stage by stage.

    Raises:
        KdzooError: the two lists differ in length.
    """
    if teacher_stages is not None and len(teacher_stages) != len(stages):
        raise KdzooError(
            f"knowledge.teacher_stages ({name}): {teacher_stages} must pair up with stages {stages}"
        )
    return Taps(student=stages, teacher=teacher_stages)
