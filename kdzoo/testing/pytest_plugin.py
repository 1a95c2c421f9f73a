"""``pytest --kdzoo``: the conformance kit as tests, one per component and check of a distribution.

Pytest loads this in every project; nothing here imports torch unless the flag is given.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from kdzoo.errors import KdzooError

if TYPE_CHECKING:
    from kdzoo.testing import Check, Finding, Subject

_HERE = ""
"""The flag without a name."""


class Mistakes(Exception):
    """The findings of a check."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("\n".join(map(str, findings)))


class CheckItem(pytest.Item):
    """One check of one component."""

    errors: ClassVar[dict[tuple[str, str, str], str]] = {}
    """What components raised, and in which check first."""

    def __init__(self, *, subject: Subject, check: Check, **given: Any) -> None:
        super().__init__(**given)
        self.subject = subject
        self.check = check

    def runtest(self) -> None:
        """Skipped, with the reason, if the component is exempt, or raises what it has raised in another check."""
        from kdzoo.testing import outcomes

        for outcome in outcomes(self.subject, only=[self.check.name], errors=self.errors):
            if outcome.exempt is not None or outcome.failed is not None:
                pytest.skip(outcome.state)
            if outcome.findings:
                raise Mistakes(outcome.findings)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The findings, without a traceback of the kit."""
        if isinstance(excinfo.value, Mistakes | KdzooError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Its location in reports."""
        return self.config.rootpath, None, self.name


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--kdzoo`` and ``--kdzoo=NAME``."""
    parser.getgroup("kdzoo").addoption(
        "--kdzoo",
        nargs="?",
        const=_HERE,
        default=None,
        metavar="NAME",
        help="check the kdzoo components of the project in the root directory, or those of --kdzoo=NAME: a "
        "distribution, a method or a component",
    )


@pytest.hookimpl(tryfirst=True)  # before -k and -m choose
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add the checks after the other tests."""
    name = config.getoption("--kdzoo")
    if name is None:
        return
    try:
        items.extend(_items(session, name or _project(config.rootpath)))
    except KdzooError as error:
        raise pytest.UsageError(f"--kdzoo: {error}") from None


def _project(root: Path) -> str:
    """The name of the distribution whose pyproject.toml is in the root directory.

    Raises:
        KdzooError: there is none, or it has no name.
    """
    try:
        content = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
        return str(content["project"]["name"])
    except (OSError, tomllib.TOMLDecodeError, KeyError):
        raise KdzooError(
            f"no pyproject.toml with a project's name in {root}; name a distribution: --kdzoo=NAME"
        ) from None


def _items(session: pytest.Session, name: str) -> Iterator[pytest.Item]:
    from kdzoo.testing import subjects
    from kdzoo.testing.kit import applicable

    for subject in subjects(name):
        for check in applicable(subject):
            title = f"{subject.found.kind}-{subject.found.name}-{check.name}"
            yield CheckItem.from_parent(
                session, name=title, nodeid=f"kdzoo::{title}", subject=subject, check=check
            )
