"""Which intermediate results a Knowledge needs; a backbone computes and keeps nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from kdzoo.api.probe import Probe


@dataclass(frozen=True)
class Taps:
    """Stage numbers count from the deepest: -1 is the last stage, -2 the one before it.

    0 is the last map, behind all stages: what timm's ``forward_features`` returns, as (B, C, h, w). Of a transformer
    these are the patch tokens after the last norm, without class and register tokens.

    Attributes:
        student: the student's stages, shallow to deep, such as ``(-3, -2)`` or ``(-1, 0)``.
        teacher: the teacher's stages; None means the student's numbers, so that pairs of different depth
            are aligned from the top.
        embedding: whether both sides output the embedding, the input of their classifier.
        probes: values to read inside the student in addition to its stages.
        teacher_probes: the same for the teacher; None means the student's.
    """

    student: tuple[int, ...] = ()
    teacher: tuple[int, ...] | None = None
    embedding: bool = False
    probes: tuple[Probe, ...] = ()
    teacher_probes: tuple[Probe, ...] | None = None

    def __post_init__(self) -> None:
        for side in (self.student, self.teacher or ()):
            if any(stage > 0 for stage in side) or list(side) != sorted(set(side)):
                raise ValueError(
                    f"stages {side} must be at most 0, distinct and ordered shallow to deep, such as (-3, -2)"
                )

    def of(self, side: str) -> tuple[int, ...]:
        """The stages of one side, ``"student"`` or ``"teacher"``."""
        return self.student if side == "student" or self.teacher is None else self.teacher

    def probes_of(self, side: str) -> tuple[Probe, ...]:
        """The probes of one side, ``"student"`` or ``"teacher"``."""
        return self.probes if side == "student" or self.teacher_probes is None else self.teacher_probes
