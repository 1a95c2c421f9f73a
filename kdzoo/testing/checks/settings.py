"""Do the hyper-parameters have an effect, and does the temperature scale as documented?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from types import UnionType
from typing import Annotated, Any, Literal, Protocol, Union, get_args, get_origin

import torch
from pydantic import ValidationError

from kdzoo.api.batch import Output
from kdzoo.errors import KdzooError
from kdzoo.testing.card import text_of
from kdzoo.testing.check import Wrong, check
from kdzoo.testing.rehearsal import Rehearsal, leaves, rehearse, same_seed, tensors_of, value
from kdzoo.testing.subject import Subject
from kdzoo.testing.watch import trained_weights, watch
from kdzoo.zoo.hyperparameters import schema

_HOT = 50.0
"""A temperature at which softened probabilities are linear in the logits, within a few per cent."""

_FACTOR = re.compile(
    r"(?:\bT|τ|temperature\)?|\\tau|\\text\{T\})\s*(?:²|(?:\^|\*\*)\s*\{?2)"
    r"|temperature,? squared|squared temperature|square of (?:the |its )?temperature",
    re.IGNORECASE,
)
"""A factor T² in a card or docstring, as a formula or in words."""

_TEMPERATURES = ("temperature", "tau", "T")
"""Names of the hyper-parameter."""

_FETCHES = ("pretrained", "download")
"""Switches that are not turned on, since that would need the network."""

_DENIAL = re.compile(r"\b(not|without|no|nor|lacks?|lost)\b")

_ELSEWHERE = 4
"""Largest number of other methods to try: some components are used by most of the registry."""

_TOO_SMALL = 0.5
"""With T² the gradient at twice the temperature is nearly the same; without it, a quarter."""


@check(
    "hyper-parameter",
    "knowledge",
    "scheme",
    "algorithm",
    looks_for="a hyper-parameter that does nothing",
    mend="Use it, or take it away; where a small run cannot show it: exempt = {'hyper-parameter:NAME': 'why'}.",
)
def without_effect(subject: Subject) -> Iterator[Wrong]:
    """Change each hyper-parameter in turn.

    The loss must change (for schemes and algorithms the results of a run: weights, figures, pictures, files),
    or the value must be refused by more than its range; if necessary, in another method with the component,
    in a longer run, or with another value of another hyper-parameter.
    """
    here = _Variation(subject)
    everywhere = [here, *islice(_variations(subject.elsewhere), _ELSEWHERE)]
    for name in here.model.model_fields:
        if name in subject.exempt_items("hyper-parameter"):
            continue
        tried = here.alternatives(name)
        if tried and not any(
            one.shows(name, look, context) for one, look, context in _trials(everywhere, name)
        ):
            yield (
                f"nothing changes with {' and '.join(map(repr, tried))} in place of {here.value(name)!r}",
                f"hyper-parameter {name}",
            )


def _trials(
    everywhere: Sequence[_Variation], name: str
) -> Iterator[tuple[_Variation, Look, Mapping[str, Any]]]:
    """Where and how to look for an effect: what is likely and fast first."""
    here, others = everywhere[:1], everywhere[1:]
    plain, longer = _Variation.plain, _Variation.longer
    choices, longer_choices = _Variation.choices, _Variation.longer_choices
    quick, whole = 0, 1  # positions in _Variation.looks; single lessons have no whole look
    for several, contexts, depth in (
        (here, plain, quick),
        (others, plain, quick),
        (here, plain, whole),
        (here, longer, quick),
        (here, longer, whole),
        (others, longer, quick),
        (others, plain, whole),
        (others, longer, whole),
        (everywhere, choices, quick),
        (everywhere, choices, whole),
        (everywhere, longer_choices, quick),
        (everywhere, longer_choices, whole),
    ):
        for one in several:
            for context in contexts(one, name):
                looks = one.looks(context)
                if depth < len(looks):
                    yield one, looks[depth], context


def _variations(subjects: Iterable[Subject]) -> Iterator[_Variation]:
    """The variations of methods that can be run without a user's files."""
    for one in subjects:
        with suppress(KdzooError):
            yield _Variation(one)


class _Variation:
    """A subject in some context (dotted keys), whose hyper-parameters are changed one at a time."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.kind = subject.found.kind
        self.model = schema(subject.found.component)
        self.own: Mapping[str, Any] = subject.configured().settings
        self._unchanged: dict[tuple[str, str], object] = {}

    def value(self, name: str) -> Any:
        """Its value in the subject's recipe."""
        return self.own.get(name, self.model.model_fields[name].default)

    def alternatives(self, name: str) -> list[Any]:
        """Other allowed values; being refused by the range does not show that a value is used."""
        values = alternatives(self.model.model_fields[name].annotation, self.value(name))
        fetches = any(word in name for word in _FETCHES)
        return [one for one in values if self._allowed(name, one) and not (fetches and one is True)]

    def looks(self, context: Mapping[str, Any]) -> tuple[Look, ...]:
        """The quick look, and the whole one: measuring and exporting a student can take longer than training it."""
        lesson = self.kind == "knowledge" and "epochs" not in context
        return (self._lessons,) if lesson else (self._weights, self._all)

    def shows(self, name: str, look: Look, context: Mapping[str, Any]) -> bool:
        """Whether anything changes with one of the other values.

        Raises:
            Exception: the subject itself fails, so that no hyper-parameter can be examined.
        """
        unchanged = self._without_change(look, context)
        if isinstance(unchanged, Exception):
            if not context:
                raise unchanged
            return False  # another choice fails whatever the value
        for one in self.alternatives(name):
            changed = _outcome(look, {**context, self.subject.key(name): one}, unchanged)
            if isinstance(changed, Exception) or changed != unchanged:
                return True
        return False

    def plain(self, name: str) -> Iterator[Mapping[str, Any]]:
        """The small recipe."""
        yield {}

    def longer(self, name: str) -> Iterator[Mapping[str, Any]]:
        """A run twice as long, since a third and a half of two epochs are the same; for knowledge with a memory."""
        yield {"epochs": 2 * self.subject.recipe().epochs}

    def choices(self, name: str) -> Iterator[Mapping[str, Any]]:
        """Other choices of the other hyper-parameters: some have an effect only with one choice."""
        for other, field in self.model.model_fields.items():
            if other != name and (field.annotation is bool or get_origin(field.annotation) is Literal):
                for choice in self.alternatives(other):
                    yield {self.subject.key(other): choice}

    def longer_choices(self, name: str) -> Iterator[Mapping[str, Any]]:
        """Both: a choice may show in a run only, as one with a memory does."""
        (longer,) = self.longer(name)
        for choice in self.choices(name):
            yield {**longer, **choice}

    def _allowed(self, name: str, value: Any) -> bool:
        try:
            self.model.model_validate({**self.own, name: value})
        except ValidationError:
            return False
        return True

    def _without_change(self, look: Look, context: Mapping[str, Any]) -> object:
        key = look.__name__, repr(context)
        if key not in self._unchanged:
            self._unchanged[key] = _outcome(look, context)
        return self._unchanged[key]

    def _lessons(self, changes: Mapping[str, Any], known: Any = None) -> object:
        return [_answer(lesson) for lesson in rehearse(self.subject, **changes)]

    def _weights(self, changes: Mapping[str, Any], known: Any = None) -> object:
        return trained_weights(self.subject, changes, known)

    def _all(self, changes: Mapping[str, Any], known: Any = None) -> object:
        done = watch(self.subject, changes=changes)
        return done.weights, done.left


class Look(Protocol):
    """The effect of changes of the recipe: losses and gradients, or the results of a run."""

    __name__: str

    def __call__(self, changes: Mapping[str, Any], known: Any = None) -> object:
        """A comparable result; it may be incomplete where it differs from the ``known`` one."""


def _outcome(look: Look, changes: Mapping[str, Any], known: object = None) -> object:
    """The result; a refusal is one too, and so is a failure."""
    try:
        return look(changes, known)
    except Exception as error:  # a component can raise anything
        return error


@check(
    "temperature",
    "knowledge",
    looks_for="a factor T² that the card states and the loss lacks",
    mend="Multiply by temperature², or take it out of the card.",
)
def squared_temperature(subject: Subject) -> Iterator[Wrong]:
    """The gradient of softened logits falls as 1/T² unless the loss is multiplied by T²."""
    fields = schema(subject.found.component).model_fields
    name = next((one for one in _TEMPERATURES if one in fields), None)
    if name is None:
        return
    if not _claimed(text_of(subject)):
        return
    slopes = []
    for temperature in (_HOT, 2 * _HOT):
        try:
            lessons = list(rehearse(subject, **{subject.key(name): temperature}))
        except KdzooError:
            return  # this temperature is not allowed
        slopes.append(sum(_slope(lesson) for lesson in lessons))
    if slopes[0] > 0 and slopes[1] < _TOO_SMALL * slopes[0]:
        yield (
            f"at temperature {2 * _HOT:g} the gradient is {slopes[1] / slopes[0]:.2f} of that at {_HOT:g}, and the "
            "card says that the loss is multiplied by T²",
            f"hyper-parameter {name}",
        )


def _claimed(text: str) -> bool:
    """Whether a clause mentions the factor without a negation."""
    clauses = re.split(r"[.;:|\n]", text)
    return any(_FACTOR.search(clause) and not _DENIAL.search(clause) for clause in clauses)


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
            yield from (1, 0)  # a small run depends only on whether a memory or a pause is short
    elif annotation is float:
        yield 0.5 * now if now else 0.1
        yield 2.0 * now if now else 1.0


def _answer(lesson: Rehearsal) -> list[float]:
    """Loss and gradients, at the start of the run, where ramps have an effect, and in its middle."""
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
    """The gradient's norm with respect to the student's logits, which are scaled down to avoid saturation."""
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
