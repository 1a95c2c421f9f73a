"""Running the checks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from kdzoo.errors import KdzooError, UnknownName
from kdzoo.testing import checks  # noqa: F401  # importing them registers them
from kdzoo.testing.check import CHECKS, Check
from kdzoo.testing.finding import Finding
from kdzoo.testing.frames import blame
from kdzoo.testing.subject import Subject


@dataclass(frozen=True)
class Outcome:
    """The outcome of one check of one component.

    Attributes:
        subject: the component.
        check: the check.
        exempt: the component's reason for its exemption; None if the check was run.
        findings: its findings.
        exempt_items: hyper-parameter, parameter or role -> the component's reason for its exemption.

    """

    subject: Subject
    check: Check
    exempt: str | None
    findings: tuple[Finding, ...]
    exempt_items: Mapping[str, str] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """``ok``, ``exempt: reason``, ``ok; item is exempt: reason`` or ``found``."""
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
    subject: Subject, *, only: Collection[str] = (), without: Collection[str] = ()
) -> Iterator[Outcome]:
    """Run the checks for the subject's kind.

    A check from which the component exempts itself, with a reason, is not run; an exempt item is ignored.

    Args:
        subject: what to examine.
        only: names of checks; default: all.
        without: names of checks to skip, such as ``processes``, which takes ten seconds.

    Raises:
        UnknownName: there is no check of that name.
        KdzooError: the component cannot be run in the small recipe; says what it needs.

    """
    for one in applicable(subject, only=only, without=without):
        reason = subject.exempt.get(one.name, "").strip()
        if reason:
            yield Outcome(subject, one, reason, ())
        else:
            exempt_items = subject.exempt_items(one.name)
            found = [finding for finding in _found(one, subject) if finding.item not in exempt_items]
            yield Outcome(subject, one, None, tuple(found), exempt_items)


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


def _found(check: Check, subject: Subject) -> Iterator[Finding]:
    try:
        for what, where in check.find(subject):
            yield Finding(check.name, subject.name, what, where, check.mend)
    except KdzooError as error:
        raise KdzooError(f"{subject.name}, check {check.name!r}: {error}") from error
    except Exception as error:  # a component can raise anything
        what, where = blame(error)
        yield Finding(
            check.name,
            subject.name,
            what,
            where,
            "It must run in a small recipe: kdzoo distill with it shows the whole traceback.",
        )
