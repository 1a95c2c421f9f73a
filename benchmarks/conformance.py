"""Every component of this repository under every check of the conformance kit; writes docs/conformance.md.

    OMP_NUM_THREADS=1 python benchmarks/conformance.py [--without processes] [-k EXPRESSION]

Runs tests/repository/test_conformance.py and writes down the results, with reasons of exemptions. With pytest's -k
it prints without writing.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "conformance.md"
TEST = ROOT / "tests" / "repository" / "test_conformance.py"

_KINDS = ("knowledge", "scheme", "algorithm", "observer")

HEAD = """# Results of the conformance kit for this repository

The results of the checks of [the conformance kit](checks.md) for each component, as `kdzoo check NAME` runs them. A
component that is exempt from a check, or from one item of it (`check:item`), has the reason in its class attribute
`exempt`.
This page is written by `OMP_NUM_THREADS=1 python benchmarks/conformance.py`.
"""


@dataclass
class Answer:
    """The results for one component.

    Attributes:
        kind: kind of the component.
        name: name of the component.
        distribution: its distribution.
        checks: name -> (reason for an exemption or None, findings).
        exempt_items: ``check:item`` -> the reason for its exemption.
        error: why it could not be run; empty if it could.

    """

    kind: str
    name: str
    distribution: str
    checks: dict[str, tuple[str | None, list[str]]] = field(default_factory=dict)
    exempt_items: dict[str, str] = field(default_factory=dict)
    error: str = ""


class Collector:
    """A pytest plugin that collects the results of each component."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called once for each test and stage."""
        properties: list[tuple[str, Any]] = report.user_properties
        if report.when != "call" or not properties:
            return
        answer = Answer(*dict(properties)["component"])
        for name, value in properties:
            if name == "outcome":
                check, exempt, exempt_items, findings = value
                answer.checks[check] = exempt, findings
                answer.exempt_items |= {f"{check}:{item}": reason for item, reason in exempt_items.items()}
                for finding in findings:
                    print(f"\n  {finding}", flush=True)
        if report.failed and not any(findings for _, findings in answer.checks.values()):
            answer.error = str(report.longrepr).splitlines()[-1]
            print(f"\n  {answer.name}: {answer.error}", flush=True)
        self.answers.append(answer)


def main() -> int:
    """Print the results and write the document; returns 1 if there were findings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without", default="", help="checks to leave out, with commas between")
    parser.add_argument("-k", default="", help="pytest's choice of tests")
    given = parser.parse_args()
    without = [name for name in given.without.split(",") if name]
    os.environ |= {"KDZOO_TEST_SLOW": "1", "KDZOO_TEST_WITHOUT": " ".join(without)}
    collected = Collector()
    options = [f"--rootdir={ROOT}", "--tb=no", "--show-capture=no", "-q", "-k", given.k]
    options += ["--numprocesses", "auto", "--dist", "worksteal"]
    pytest.main([*options, str(TEST)], plugins=[collected])
    answers = sorted(collected.answers, key=lambda one: (one.distribution, _KINDS.index(one.kind), one.name))
    print("\n".join(lines(answers, without)))
    if not given.k:
        DOCUMENT.write_text("\n".join([HEAD, *lines(answers, without)]) + "\n", encoding="utf-8")
    return int(any(one.error or any(findings for _, findings in one.checks.values()) for one in answers))


def lines(answers: list[Answer], without: list[str]) -> Iterator[str]:
    """The table of results, then the exemptions with reasons, then the findings."""
    names = {name: None for one in answers for name in one.checks}
    left_out = f"; left out: {', '.join(f'`{name}`' for name in without)}" if without else ""
    yield f"{len(answers)} components, {len(names)} checks{left_out}.\n"
    yield "| component | kind | distribution | passed | exempt | found |"
    yield "|---|---|---|---|---|---|"
    for one in answers:
        whole = [name for name, (reason, _) in one.checks.items() if reason is not None]
        exempt = [*whole, *one.exempt_items]
        found = [name for name, (_, findings) in one.checks.items() if findings]
        passed = len(one.checks) - len(whole) - len(found)
        yield (
            f"| `{one.name}` | {one.kind} | {one.distribution} | "
            f"{'cannot be run' if one.error else f'{passed} of {len(one.checks)}'} | "
            f"{', '.join(f'`{name}`' for name in exempt)} | {', '.join(f'`{name}`' for name in found)} |"
        )
    reasons = [
        (one.name, name, reason)
        for one in answers
        for name, reason in [
            *((name, reason) for name, (reason, _) in one.checks.items()),
            *one.exempt_items.items(),
        ]
        if reason is not None
    ]
    if reasons:
        yield "\n## Exemptions\n"
        yield "| component | check | reason |"
        yield "|---|---|---|"
        yield from (f"| `{component}` | `{check}` | {reason} |" for component, check, reason in reasons)
    faults = [f"`{one.name}`: {one.error}" for one in answers if one.error]
    faults += [finding for one in answers for _, findings in one.checks.values() for finding in findings]
    if faults:
        yield "\n## Findings\n"
        yield from (f"- {fault}" for fault in faults)


if __name__ == "__main__":
    sys.exit(main())
