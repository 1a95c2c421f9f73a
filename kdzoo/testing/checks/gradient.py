"""Are all trainable parameters trained?"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from kdzoo.testing.check import Wrong, check
from kdzoo.testing.rehearsal import rehearse, tensors_of, value
from kdzoo.testing.subject import Subject


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
