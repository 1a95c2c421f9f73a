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
    looks_for="a frozen role that moves, is in train mode or collects gradients; a teacher that learns as it teaches",
    mend="Enroll it with learns=False and leave its mode and its parameters alone.",
)
def frozen_roles(subject: Subject) -> Iterator[Wrong]:
    """Examined in every step."""
    found = diary(subject)
    for name, what in {**found.moved, **found.teaching.moved}.items():
        yield what, f"role {name}"


@check(
    "arrows",
    *_EVERY_KIND,
    looks_for="a lesson whose student no gradient reaches, such as one with its two roles swapped",
    mend="Lesson(student, teacher): the role that learns comes first.",
)
def students_that_cannot_learn(subject: Subject) -> Iterator[Wrong]:
    """In some step, the output of each lesson's student must have a graph."""
    for student, teacher in diary(subject).teaching.unreached.items():
        yield f"it is the student of a lesson by {teacher!r}, and no gradient can reach it", f"role {student}"


@check(
    "trained",
    *_EVERY_KIND,
    looks_for="a role or a parameter that is meant to learn and is never updated",
    mend="Name the role in run.update (connectors: 'knowledge'); make layers attributes, not members of a list.",
)
def never_updated(subject: Subject) -> Iterator[Wrong]:
    """At the end of the run, each role that learns must have moved, and each parameter in a loss must have a role."""
    found = diary(subject)
    for name in found.movement.idle(found.run):
        yield "it is enrolled to learn, and its parameters have not moved in the whole run", f"role {name}"
    for one in found.movement.strangers(found.run):
        yield (
            f"a parameter of shape {tuple(one.shape)} is used in a loss, belongs to no role and is never optimised",
            "loss",
        )


@check(
    "in-place",
    *_EVERY_KIND,
    looks_for="an output or a batch that is changed in place",
    mend="Use operations that make a new tensor; outputs and batches are shared by all that read them in a step.",
)
def changed_in_place(subject: Subject) -> Iterator[Wrong]:
    """At the end of every step, outputs and the batch must have their first values."""
    for name, part in diary(subject).unchanged.found.items():
        yield f"{part} is changed in place within a step", "batch" if name == "batch" else f"role {name}"


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
