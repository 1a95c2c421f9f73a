"""Do the hyper-parameters do what they say, and anything at all?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import torch

from kdzoo.api.batch import Output
from kdzoo.errors import KdzooError
from kdzoo.testing.card import text_of
from kdzoo.testing.check import Wrong, check
from kdzoo.testing.rehearsal import Rehearsal, leaves, rehearse, same_seed, tensors_of, value
from kdzoo.testing.subject import Subject
from kdzoo.testing.watch import watch
from kdzoo.zoo.hyperparameters import schema

_HOT = 50.0
"""A temperature at which softened probabilities are linear in the logits, to a few per cent."""

_TOO_SMALL = 0.5
"""With T² the gradient at twice that temperature is nearly the same; without it, a quarter."""


@check(
    "hyper-parameter",
    "knowledge",
    "scheme",
    "algorithm",
    looks_for="a hyper-parameter that does nothing",
    mend="Use it, or take it away; declare in `exempt` which one cannot show in a small run, and why.",
)
def without_effect(subject: Subject) -> Iterator[Wrong]:
    """Each is changed in turn.

    The loss must change (of schemes and algorithms, what a run leaves: weights, figures, pictures), or the value be
    refused; if need be, under another choice of another hyper-parameter.
    """
    fields = schema(subject.found.component).model_fields
    own = getattr(subject.recipe(), subject.found.kind).settings
    references: dict[str, object] = {}
    for name, field in fields.items():
        now = own.get(name, field.default)
        others = list(alternatives(field.annotation, now))
        if not others:
            continue
        for context in [{}, *_choices(fields, own, name)]:
            key = repr(context)
            if key not in references:
                references[key] = _outcome(subject, _dotted(subject, context))
            if any(
                _outcome(subject, _dotted(subject, {**context, name: one})) != references[key]
                for one in others
            ):
                break
        else:
            tried = " and ".join(map(repr, others))
            yield f"nothing changes with {tried} in place of {now!r}", f"hyper-parameter {name}"


def _choices(fields: Mapping[str, Any], own: Mapping[str, Any], but: str) -> Iterator[dict[str, Any]]:
    """Other choices of the other hyper-parameters: some of them have a meaning under one choice alone."""
    for name, field in fields.items():
        if name != but and (field.annotation is bool or get_origin(field.annotation) is Literal):
            for choice in alternatives(field.annotation, own.get(name, field.default)):
                yield {name: choice}


def _dotted(subject: Subject, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{subject.found.kind}.{name}": value for name, value in settings.items()}


@check(
    "temperature",
    "knowledge",
    looks_for="a factor T² that the card states and the loss lacks",
    mend="Multiply by temperature², or take it out of the card.",
)
def squared_temperature(subject: Subject) -> Iterator[Wrong]:
    """Where logits are softened, the gradient falls as 1/T² unless the loss is multiplied by T²."""
    if "temperature" not in schema(subject.found.component).model_fields:
        return
    if not any(sign in text_of(subject) for sign in ("T²", "temperature²", "T^2")):
        return
    slopes = []
    for temperature in (_HOT, 2 * _HOT):
        try:
            lessons = list(rehearse(subject, **{"knowledge.temperature": temperature}))
        except KdzooError:
            return  # it takes no such temperature
        slopes.append(sum(_slope(lesson) for lesson in lessons))
    if slopes[0] > 0 and slopes[1] < _TOO_SMALL * slopes[0]:
        yield (
            f"at temperature {2 * _HOT:g} the gradient is {slopes[1] / slopes[0]:.2f} of that at {_HOT:g}, and the "
            "card says that the loss is multiplied by T²",
            "hyper-parameter temperature",
        )


def alternatives(annotation: Any, now: Any) -> Iterator[Any]:
    """Other values that a hyper-parameter of this type may have."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from alternatives(parts[0], now)
    elif origin is Literal:
        yield from (choice for choice in parts if choice != now)
    elif origin in (Union, UnionType):
        for part in parts:
            if part is not type(None):
                yield from alternatives(part, now)
                return
    elif annotation is bool:
        yield not now
    elif annotation is int and not isinstance(now, bool):
        yield (now or 0) + 1
        yield max((now or 0) - 1, 0)
        if now is not None and now > 2:
            yield 1  # of a memory or a pause, a small run sees only whether it is short
    elif annotation is float:
        yield 0.5 * now if now else 0.1
        yield 2.0 * now if now else 1.0


def _outcome(subject: Subject, changes: dict[str, Any]) -> object:
    """What must change: the lesson's loss and gradients, or what a run leaves: weights, figures, pictures.

    A refusal is an outcome too.
    """
    try:
        if subject.found.kind == "knowledge":
            return [_answer(lesson) for lesson in rehearse(subject, **changes)]
        done = watch(subject, changes=changes)
        return dict(done.weights), done.figures, tuple(done.pictures)
    except (KdzooError, ValueError, RuntimeError) as error:
        return type(error).__name__, str(error)


def _answer(lesson: Rehearsal) -> list[float]:
    """Loss and gradients, at the beginning of the run, where a ramp shows, and in its middle."""
    found = [float(sum(one.numel() for one in lesson.knowledge.parameters()))]
    for progress in (0.01, lesson.batch.progress):
        same_seed()
        student = leaves(lesson.student)
        loss = lesson.loss(student=student, batch=replace(lesson.batch, progress=progress))
        found.append(value(loss))
        learned = [one for one in lesson.knowledge.parameters() if one.requires_grad]
        if loss.requires_grad:
            gradients = torch.autograd.grad(loss.mean(), [*tensors_of(student), *learned], allow_unused=True)
            found += [0.0 if one is None else float(one.double().norm()) for one in gradients]
    return found


def _slope(lesson: Rehearsal) -> float:
    """The gradient's norm with respect to the student's logits, which are made small so that none saturates."""
    small = Output(
        lesson.student.logits.detach() * 0.1,
        lesson.student.features,
        lesson.student.embedding,
        lesson.student.extras,
    )
    student = leaves(small)
    loss = lesson.loss(student=student)
    if not loss.requires_grad:
        return 0.0
    (gradient,) = torch.autograd.grad(loss.mean(), [student.logits], allow_unused=True)
    return 0.0 if gradient is None else float(gradient.norm())
