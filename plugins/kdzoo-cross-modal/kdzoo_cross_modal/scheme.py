"""The scheme in which teacher and student read different modalities of a pair."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from kdzoo.api import Backbone, DeclaredRole, KdzooError, Run, Scheme
from kdzoo_cross_modal.borrowed import Borrowed, linear_weight


class CrossModal(Scheme):
    """A frozen teacher of one modality teaches a student of another; each role's ``modality`` says which.

    Args:
        head: the student's classifier. ``"own"``: its own, which learns from labels or from the teacher's
            logits. ``"teacher"``: a frozen copy of the teacher's, so that the loss needs neither labels nor
            logits. The student's own classifier then maps its features to the teacher's width.
    """

    name = "cross-modal"
    kind = "offline"

    def __init__(self, head: Literal["own", "teacher"] = "own") -> None:
        self.head = head

    def declared_roles(self) -> Iterable[DeclaredRole]:
        """The teacher of the other modality."""
        return [DeclaredRole("teacher", "frozen; reads another modality than the student")]

    def enroll(self, run: Run) -> None:
        """Enroll both networks.

        Raises:
            KdzooError: both read the same modality, or the teacher's classifier is not linear.
        """
        reads = {role: config.modality for role, config in run.recipe.roles.items()}
        if reads.get("teacher") == reads["student"]:
            known = ", ".join(run.data.channels)
            raise KdzooError(
                f"scheme 'cross-modal': teacher and student both read {reads['student']!r} of {known}; choose with "
                "--set roles.student.modality=NAME, and make one with --set data.computed.NAME=edges (or grey, heat, "
                "low-resolution) or --set data.paired.NAME=FOLDER"
            )
        teacher = run.enroll("teacher", run.build("teacher"), learns=False)
        if self.head == "own":
            run.enroll("student", run.build("student"))
            return
        if run.recipe.roles["student"].checkpoint is not None:
            raise KdzooError(
                "roles.student.checkpoint: a student that borrows the teacher's classifier has none of its own to "
                "load; start from timm's weights (roles.student.pretrained), or --set scheme.head=own"
            )
        assert isinstance(teacher, Backbone)
        width = linear_weight(teacher.classifier).shape[1]
        run.enroll("student", Borrowed(run.build("student", num_classes=width), teacher.classifier))

    def arrows(self, run: Run) -> Iterable[tuple[str, str]]:
        """From the teacher to the student."""
        return [("student", "teacher")]
