"""Are all trainable parameters trained?"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from kdzoo.api.batch import Batch, Output
from kdzoo.testing.check import Wrong, check
from kdzoo.testing.rehearsal import (
    Rehearsal,
    leaves,
    picked,
    picked_batch,
    rehearse,
    tensors_of,
    value,
)
from kdzoo.testing.subject import Subject

_SATURATED = 100.0
"""The logit of the predicted class; the others have its negative. In float32 their probability is 0."""


@check(
    "gradient",
    "knowledge",
    looks_for="a parameter that no gradient reaches",
    mend="Use it in the loss, or make it a buffer if it should not be trained.",
)
def unreached_parameters(subject: Subject) -> Iterator[Wrong]:
    """Every parameter of the connectors must receive a non-zero gradient."""
    for lesson in rehearse(subject):
        parameters = {name: one for name, one in lesson.knowledge.named_parameters() if one.requires_grad}
        if not parameters:
            continue
        loss = lesson.loss().mean()
        if not loss.requires_grad:
            yield "the loss has no gradient at all", "forward"
            continue
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for name, gradient in zip(parameters, gradients, strict=True):
            if gradient is None:
                yield "no gradient reaches the parameter", f"parameter {name}"
            elif not bool(gradient.abs().sum() > 0):
                yield "the gradient of the parameter is zero throughout", f"parameter {name}"


@check(
    "zero",
    "knowledge",
    looks_for="a loss that is identically zero, or has no gradient for the student",
    mend="Check for a detached tensor, a target computed from the student itself, or a saturated function.",
)
def nothing_taught(subject: Subject) -> Iterator[Wrong]:
    """The loss between two random networks must have a gradient for the student."""
    for lesson in rehearse(subject):
        loss = lesson.loss()
        if not bool(torch.isfinite(loss).all()):
            yield f"the loss of two random networks is {value(loss)}", "forward"
            continue
        if value(loss) == 0:
            yield "the loss of two different random networks is exactly zero", "forward"
        if not loss.requires_grad:
            yield "the loss does not depend on the student's answer", "forward"
            continue
        inputs = tensors_of(lesson.student)
        gradients = torch.autograd.grad(loss.mean(), inputs, allow_unused=True)
        if not any(one is not None and bool(one.abs().sum() > 0) for one in gradients):
            yield "no gradient reaches the student's answer", "forward"


@check(
    "saturated",
    "knowledge",
    looks_for="a loss or gradient that is not finite for saturated probabilities or equal samples",
    mend="Use log_softmax instead of log(softmax), clamp before a logarithm, a root or a division.",
)
def not_finite(subject: Subject) -> Iterator[Wrong]:
    """Logits of 100 and -100 on either side and on both, and a batch in which all samples are the same."""
    for lesson in rehearse(subject):
        for what, (student, teacher, batch) in _extremes(lesson).items():
            loss = lesson.loss(student, teacher, batch)
            if not bool(torch.isfinite(loss).all()):
                yield f"with {what} the loss is {value(loss)}", "forward"
            elif loss.requires_grad:
                learned = [one for one in lesson.knowledge.parameters() if one.requires_grad]
                gradients = torch.autograd.grad(
                    loss.mean(), [*tensors_of(student), *learned], allow_unused=True
                )
                if not all(one is None or bool(torch.isfinite(one).all()) for one in gradients):
                    yield f"with {what} the gradient is not finite", "forward"


def _extremes(lesson: Rehearsal) -> dict[str, tuple[Output, Output, Batch]]:
    student, teacher, batch = lesson.student, lesson.teacher, lesson.batch
    first = torch.zeros(len(batch), dtype=torch.long)
    found = {"equal samples": (picked(student, first), picked(teacher, first), picked_batch(batch, first))}
    if not (student.has_logits and teacher.has_logits):
        return found
    surest = teacher.logits.argmax(1)
    sure, opposed = saturated(teacher, surest), saturated(student, student.logits.argmin(1))
    found |= {
        "a teacher that is sure": (leaves(student), sure, batch),
        "a student that is sure": (opposed, teacher, batch),
        "two sure networks that disagree": (leaves(opposed), sure, batch),
    }
    if student.logits.shape == teacher.logits.shape:
        found["two sure networks that agree"] = saturated(student, surest), sure, batch
    return found


def saturated(output: Output, classes: Tensor) -> Output:
    """The same output with logits that are sure of these classes (B,)."""
    logits = torch.full_like(output.logits, -_SATURATED).scatter(1, classes[:, None], _SATURATED)
    return leaves(Output(logits, output.features, output.embedding, output.extras))
