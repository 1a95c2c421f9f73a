"""Running the checks."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from kdzoo.errors import KdzooError, UnknownName
from kdzoo.testing import checks  # noqa: F401  # importing them registers them
from kdzoo.testing.check import CHECKS, Check
from kdzoo.testing.finding import Finding
from kdzoo.testing.frames import blame
from kdzoo.testing.subject import Subject

_RUNS = "It must run in a small recipe: kdzoo distill with it shows the whole traceback."


@dataclass(frozen=True)
class Outcome:
    """The outcome of one check of one component.

    Attributes:
        subject: the component.
        check: the check.
        exempt: the component's reason for its exemption; None if the check was run.
        findings: its findings.
        exempt_items: hyper-parameter, parameter or role -> the component's reason for its exemption.
        failed: the check that raised the same error before, and has the finding; None if there is none.

    """

    subject: Subject
    check: Check
    exempt: str | None
    findings: tuple[Finding, ...]
    exempt_items: Mapping[str, str] = field(default_factory=dict)
    failed: str | None = None

    @property
    def state(self) -> str:
        """``ok``, ``exempt: reason``, ``ok; item is exempt: reason``, ``found`` or ``failed as CHECK did``."""
        if self.failed is not None:
            return f"failed as {self.failed} did"
        if self.exempt is not None:
            return f"exempt: {self.exempt}"
        if self.findings:
            return "found"
        return "; ".join(
            ["ok", *(f"{item} is exempt: {reason}" for item, reason in self.exempt_items.items())]
        )


def examine(
    subject: Subject, *, only: Collection[str] = (), without: Collection[str] = ()
) -> Iterator[Finding]:
    """The findings of the checks for the subject's kind; see :func:`outcomes`."""
    for outcome in outcomes(subject, only=only, without=without):
        yield from outcome.findings


def outcomes(
    subject: Subject,
    *,
    only: Collection[str] = (),
    without: Collection[str] = (),
    errors: dict[tuple[str, str, str], str] | None = None,
) -> Iterator[Outcome]:
    """Run the checks for the subject's kind.

    A check from which the component exempts itself, with a reason, is not run; an exempt item is ignored.

    Args:
        subject: what to examine.
        only: names of checks; default: all.
        without: names of checks to skip, such as ``processes``, which takes ten seconds.
        errors: (component, error, place) -> the check that raised it first; is added to. Between calls with the same
            mapping, too, an error is a finding of one check alone.

    Raises:
        UnknownName: there is no check of that name.
        KdzooError: the component cannot be run in the small recipe; says what it needs.

    """
    errors = {} if errors is None else errors
    for one in applicable(subject, only=only, without=without):
        reason = subject.exempt.get(one.name, "").strip()
        if reason:
            yield Outcome(subject, one, reason, ())
            continue
        exempt_items = subject.exempt_items(one.name)
        try:
            with once_warned():
                found = tuple(each for each in _found(one, subject) if each.item not in exempt_items)
        except _Raised as raised:
            first = errors.setdefault((subject.name, raised.what, raised.where), one.name)
            if first != one.name:
                yield Outcome(subject, one, None, (), failed=first)
                continue
            found = (Finding(one.name, subject.name, raised.what, raised.where, _RUNS),)
        yield Outcome(subject, one, None, found, exempt_items)


def applicable(subject: Subject, *, only: Collection[str] = (), without: Collection[str] = ()) -> list[Check]:
    """The checks for a component of this kind.

    Raises:
        UnknownName: there is no check of that name.
    """
    for name in (*only, *without):
        if name not in CHECKS:
            raise UnknownName("check", name, CHECKS)
    return [
        one
        for one in CHECKS.values()
        if subject.found.kind in one.kinds and (not only or one.name in only) and one.name not in without
    ]


class _Raised(Exception):
    """A component raised an exception in a check."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(what)
        self.what, self.where = what, where


def _found(check: Check, subject: Subject) -> Iterator[Finding]:
    try:
        for what, where in check.find(subject):
            yield Finding(check.name, subject.name, what, where, check.mend)
    except KdzooError as error:
        raise KdzooError(f"{subject.name}, check {check.name!r}: {error}") from error
    except Exception as error:  # a component can raise anything
        raise _Raised(*blame(error)) from error


_WARNED: set[tuple[str, type[Warning]]] = set()
"""The warnings that were shown."""


@contextmanager
def once_warned() -> Iterator[None]:
    """A warning is shown once, not in each of dozens of runs; the launcher's notes are not shown."""
    launcher = logging.getLogger("lightning_fabric")
    level = launcher.level
    launcher.setLevel(logging.ERROR)
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            yield
    finally:
        launcher.setLevel(level)
        for one in caught:
            if (str(one.message), one.category) not in _WARNED:
                _WARNED.add((str(one.message), one.category))
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
