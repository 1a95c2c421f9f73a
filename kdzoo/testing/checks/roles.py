"""Is the teacher frozen, the student in train mode, and the exported student free of connectors?"""

from __future__ import annotations

from collections.abc import Iterator

from kdzoo.backbone import Backbone
from kdzoo.testing.check import Wrong, check
from kdzoo.testing.diary import diary
from kdzoo.testing.subject import Subject
from kdzoo.zoo.zoo import Kind

_EVERY_KIND: tuple[Kind, ...] = ("knowledge", "scheme", "algorithm")


@check(
    "teacher",
    *_EVERY_KIND,
    looks_for="a frozen role that moves, is in train mode anywhere, or collects gradients",
    mend="Enroll it with learns=False and leave its mode and its parameters alone.",
)
def frozen_roles(subject: Subject) -> Iterator[Wrong]:
    """Examined in every step."""
    for name, what in diary(subject).moved.items():
        yield what, f"role {name}"


@check(
    "student-mode",
    *_EVERY_KIND,
    looks_for="a student left in eval mode",
    mend="Use `with run.evaluating(role):`, which puts every module back as it was.",
)
def students_in_training(subject: Subject) -> Iterator[Wrong]:
    """At the end of every step, all modules of trained roles must be in train mode."""
    for name, what in diary(subject).still.items():
        yield what, f"role {name}"


@check(
    "leak",
    "knowledge",
    looks_for="connectors that become a part of the student",
    mend="Register them on the knowledge itself, in build.",
)
def connectors_in_the_student(subject: Subject) -> Iterator[Wrong]:
    """The exported student must have exactly the tensors of its architecture."""
    run = diary(subject).run
    student = run.roles["student"]
    if not isinstance(student, Backbone):
        return  # assembled on purpose, by a scheme or an algorithm
    fresh = run.networks.build("student").state_dict()
    for key in sorted(student.state_dict().keys() - fresh.keys())[:3]:
        yield "the student has a tensor that its architecture has not", f"tensor {key}"
