"""Running the checks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from kdzoo.errors import KdzooError, UnknownName
from kdzoo.testing import checks  # noqa: F401  # importing them registers them
from kdzoo.testing.check import CHECKS, Check
from kdzoo.testing.finding import Finding
from kdzoo.testing.subject import Subject

Done = Callable[[Subject, Check, str], None]
"""Told after each check: ``ok``, ``exempt: reason`` or ``found``."""


def examine(
    subject: Subject,
    *,
    only: Collection[str] = (),
    without: Collection[str] = (),
    done: Done | None = None,
) -> Iterator[Finding]:
    """Run the checks for the subject's kind; what the component exempts itself from, with a reason, is left out.

    Args:
        subject: what to examine.
        only: names of checks; default: all.
        without: names of checks that are left out, such as those that start processes.
        done: is told how each check went.

    Raises:
        UnknownName: there is no check of that name.
        KdzooError: the component cannot be run in the small recipe at all; says what it needs.

    """
    for name in (*only, *without):
        if name not in CHECKS:
            raise UnknownName("check", name, CHECKS)
    for one in applicable(subject, only=only, without=without):
        reason = subject.exempt.get(one.name)
        if reason is not None and reason.strip():
            _tell(done, subject, one, f"exempt: {reason}")
            continue
        findings = list(run_check(one, subject))
        yield from findings
        _tell(done, subject, one, "found" if findings else "ok")


def applicable(subject: Subject, *, only: Collection[str] = (), without: Collection[str] = ()) -> list[Check]:
    """The checks for a component of this kind."""
    return [
        one
        for one in CHECKS.values()
        if subject.found.kind in one.kinds and (not only or one.name in only) and one.name not in without
    ]


def run_check(check: Check, subject: Subject) -> Iterator[Finding]:
    """What one check finds. An exemption without a reason, or from a check that there is not, is a finding too."""
    for name, reason in subject.exempt.items():
        if name == check.name and not reason.strip():
            yield Finding(
                check.name,
                subject.name,
                "an exemption without a reason",
                "the class attribute exempt",
                "say in a sentence why the check does not hold here",
            )
    try:
        for what, where in check.find(subject):
            yield Finding(check.name, subject.name, what, where, check.mend)
    except KdzooError as error:
        raise KdzooError(f"{subject.name}, check {check.name!r}: {error}") from error


def _tell(done: Done | None, subject: Subject, check: Check, how: str) -> None:
    if done is not None:
        done(subject, check, how)
