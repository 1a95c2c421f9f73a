"""Every component of this repository under every check of the conformance kit; docs/conformance.md says how it went.

    OMP_NUM_THREADS=1 python benchmarks/conformance.py [NAME...] [--with-processes]

Names are those of `kdzoo check`: components, methods, distributions; without any, the core and every installed plugin
of this repository. Minutes; with two processes for each component, most of an hour.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from kdzoo.errors import KdzooError
from kdzoo.registry.load import load_registry
from kdzoo.testing import CHECKS, Outcome, Subject, outcomes, subjects_of
from kdzoo.zoo import Zoo

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "conformance.md"

SETTINGS = {"timm-task": {"knowledge": "kd"}}
"""Component -> further keys of the small recipe, for those that it does not suit as it is."""

HEAD = """# How the components of this repository fare

Each component under the checks of [the conformance kit](checks.md), as `kdzoo check NAME` runs them. A component that
is exempt from a check says why; the reasons are its class attribute `exempt`. This page is written by
`python benchmarks/conformance.py`.
"""


def main() -> int:
    """Print what is found, write the document; 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--with-processes", action="store_true")
    given = parser.parse_args()
    zoo = Zoo()
    subjects = subjects_of(zoo, load_registry(zoo), *(given.names or ours(zoo)))
    without = () if given.with_processes else ("processes",)
    done: list[tuple[Subject, list[Outcome] | str]] = []
    for number, subject in enumerate(subjects, 1):
        print(f"{number} of {len(subjects)}: {subject.name}", flush=True)
        subject = subject.with_settings(**SETTINGS.get(subject.found.name, {}))
        done.append((subject, examined(subject, without)))
    DOCUMENT.write_text("\n".join([HEAD, *lines(done, without)]) + "\n", encoding="utf-8")
    return int(any(isinstance(one, str) or any(two.findings for two in one) for _, one in done))


def ours(zoo: Zoo) -> list[str]:
    """The core and the plugins whose sources are in this repository."""
    names = {"kdzoo", *(path.name for path in (ROOT / "plugins").iterdir())}
    return [plugin.distribution for plugin in zoo.known if plugin.distribution in names]


def examined(subject: Subject, without: Iterable[str]) -> list[Outcome] | str:
    """How each check went, or why the component cannot be run."""
    found: list[Outcome] = []
    try:
        for outcome in outcomes(subject, without=tuple(without)):
            found.append(outcome)
            for finding in outcome.findings:
                print(f"  {finding}", flush=True)
    except KdzooError as error:
        print(f"  {error}", flush=True)
        return str(error)
    return found


def lines(done: list[tuple[Subject, list[Outcome] | str]], without: Iterable[str]) -> Iterable[str]:
    """A table for each distribution, then what is exempt and why, then what was found."""
    left_out = ", ".join(f"`{name}`" for name in without)
    checks = [name for name in CHECKS if name not in without]
    yield f"{len(done)} components, {len(checks)} checks{f'; left out: {left_out}' if left_out else ''}.\n"
    yield "| component | kind | distribution | passed | exempt | found |"
    yield "|---|---|---|---|---|---|"
    for subject, answer in done:
        start = f"| `{subject.found.name}` | {subject.found.kind} | {subject.found.plugin.distribution} |"
        if isinstance(answer, str):
            yield f"{start} cannot be run | | |"
            continue
        passed = sum(one.state == "ok" for one in answer)
        exempt = ", ".join(f"`{one.check.name}`" for one in answer if one.exempt is not None)
        found = ", ".join(f"`{one.check.name}`" for one in answer if one.findings)
        yield f"{start} {passed} of {len(answer)} | {exempt} | {found} |"
    run = [one for _, answer in done if not isinstance(answer, str) for one in answer]
    reasons = [one for one in run if one.exempt]
    if reasons:
        yield "\n## Exemptions\n"
        yield "| component | check | why it does not hold |"
        yield "|---|---|---|"
        yield from (f"| `{one.subject.found.name}` | `{one.check.name}` | {one.exempt} |" for one in reasons)
    faults = [str(finding) for one in run for finding in one.findings]
    faults += [answer for _, answer in done if isinstance(answer, str)]
    if faults:
        yield "\n## Findings\n"
        yield from (f"- {fault}" for fault in faults)


if __name__ == "__main__":
    sys.exit(main())
