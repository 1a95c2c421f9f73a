"""The scheme of several foreign teachers and one student."""

from __future__ import annotations

from kdzoo.api import SeveralTeachers


class Agglomeration(SeveralTeachers):
    """``teacher1`` to ``teacherN``, frozen, of any architectures, sizes and normalisations, and one student.

    Each is named by the recipe (``--set roles.teacher2=...``), or is the model of ``--teacher``.

    Args:
        teachers: number of teachers.
    """

    name = "agglomerate"
    reads_logits = False
