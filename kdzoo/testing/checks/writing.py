"""Are the component, its hyper-parameters and its paper documented?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from kdzoo.errors import UnknownName
from kdzoo.testing.card import card_of
from kdzoo.testing.check import CHECKS, Wrong, check
from kdzoo.testing.subject import Subject
from kdzoo.zoo.hyperparameters import describe, required, schema
from kdzoo.zoo.zoo import KINDS

_CORE = "kdzoo"


@check(
    "card",
    "knowledge",
    "scheme",
    "algorithm",
    "observer",
    looks_for="a card, a paper, a meaning or a default that is missing",
    mend="Write it: the docstring's Args, the registry entry's paper, a section of the README headed by the name.",
)
def nothing_written(subject: Subject) -> Iterator[Wrong]:
    """Check docstring, registry and README."""
    component = subject.found.component
    if not (component.__doc__ or "").strip():
        yield "no docstring", f"class {component.__name__}"
    for one in describe(component):
        if not one.meaning:
            yield "the docstring's Args do not say what it means", f"hyper-parameter {one.name}"
    fields = schema(component).model_fields
    for name in sorted(required(component)):
        if _is_path(fields[name].annotation):
            continue  # a user's file has no default
        if not any(name in component.settings for component in subject.used):
            yield "no default, here or in the registry", f"hyper-parameter {name}"
    if subject.found.plugin.distribution == _CORE:
        return
    if subject.found.kind == "observer":
        pass  # methods have no observers
    elif subject.entry is None:
        yield "no method of the registry uses it, so kdzoo list does not show it", "registry"
    elif subject.entry.paper is None:
        yield "no paper", f"method {subject.method} in the registry"
    readme = f"README of {subject.found.plugin.distribution}"
    card = card_of(subject)
    if not card:
        yield "no section of the README is about it", readme
    for name in sorted(_tabled(card) - _known(subject)):
        yield f"its section describes {name!r}, which is no hyper-parameter", readme


def _tabled(card: str) -> set[str]:
    """The names in the tables of hyper-parameters, whose first column is ``name`` and whose last is ``meaning``."""
    tables = re.findall(r"^\| *name *\|.*\| *meaning *\|\n\|[-| :]+\|\n((?:\|.*\n?)*)", card, re.MULTILINE)
    kinds = "|".join(KINDS)
    return {
        name for rows in tables for name in re.findall(rf"^\| *`(?:(?:{kinds})\.)?(\w+)`", rows, re.MULTILINE)
    }


def _known(subject: Subject) -> set[str]:
    """The hyper-parameters of the distribution's components, and of others in methods with this component."""
    zoo, owner = subject.zoo, subject.found.plugin.distribution
    own = [
        found
        for kind in KINDS
        for several in zoo.components(kind).values()
        for found in several
        if found.plugin.distribution == owner
    ]
    entries = [subject.entry, *(one.entry for one in subject.elsewhere)]
    others = [zoo.find(kind, one.name) for entry in entries if entry for kind, one in entry.components]
    return {name for one in (*own, *others) for name in schema(one.component).model_fields}


def _is_path(annotation: Any) -> bool:
    origin = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return isinstance(origin, type) and issubclass(origin, Path)


@check(
    "exemption",
    "knowledge",
    "scheme",
    "algorithm",
    "observer",
    looks_for="an exemption without a reason, or from a check that there is not",
    mend="Give the reason in a sentence: exempt = {'batch-order': 'why'}.",
)
def exempt_without_reason(subject: Subject) -> Iterator[Wrong]:
    """Check the class attribute ``exempt``."""
    hyperparameters = schema(subject.found.component).model_fields
    for name, reason in subject.exempt.items():
        check, _, item = name.partition(":")
        stranger = check == "hyper-parameter" and item and item not in hyperparameters
        if check not in CHECKS:
            yield str(UnknownName("check", check, CHECKS)), "class attribute exempt"
        elif stranger:
            yield (
                f"an exemption of {item!r}, which is no hyper-parameter",
                f"class attribute exempt, {name!r}",
            )
        elif not reason.strip():
            yield "an exemption without a reason", f"class attribute exempt, {name!r}"
