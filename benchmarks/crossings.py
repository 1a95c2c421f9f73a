"""The refused combinations of knowledge and scheme, with reasons: the table of docs/crossings.md.

    OMP_NUM_THREADS=1 python benchmarks/crossings.py

tests/engine/test_products.py runs the combinations and requires exactly this table.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "crossings.md"

HEAD = """# Combinations that are not possible

Any knowledge can be combined with any scheme: `kdzoo distill --method rkd --scheme mutual`. The tests run two steps
of every combination of the installed ones. Those in the table are refused in the first step, before any update,
with a message that says why and what to use instead ({refused} of {total};
… is a name, N a number). They run with the algorithm `distill`, a
small ResNet as teacher and a small EfficientNet as student, at 32 pixels;
`simkd` with its own algorithm, `catkd` at 64 pixels, `vit-attention` between two vision transformers.

A sum of knowledges (`--knowledge kd --knowledge at`) can be combined with a scheme if each of its parts can.

| knowledge | schemes | reason |
|---|---|---|
"""


class Collector:
    """A pytest plugin that collects the outcome of each combination."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], str | None] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called once for each test and stage."""
        for name, value in report.user_properties if report.when == "call" else ():
            if name == "crossing":
                knowledge, scheme, why = value
                self.found[knowledge, scheme] = why


def rows(found: dict[tuple[str, str], str | None]) -> list[str]:
    """A row for each set of schemes and reason, with all knowledges to which it applies."""
    schemes: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (knowledge, scheme), why in sorted(found.items()):
        if why is not None:
            schemes[knowledge, why].append(scheme)
    groups: dict[tuple[tuple[str, ...], str], list[str]] = defaultdict(list)
    for (knowledge, why), names in schemes.items():
        groups[tuple(names), why].append(knowledge)
    return [
        f"| {', '.join(f'`{one}`' for one in knowledge)} | {', '.join(f'`{one}`' for one in names)} | {why} |"
        for (names, why), knowledge in sorted(groups.items(), key=lambda item: (item[0][1], item[1]))
    ]


def main() -> None:
    collected = Collector()
    if not DOCUMENT.exists():
        DOCUMENT.write_text(HEAD, encoding="utf-8")
    test = str(ROOT / "tests" / "engine" / "test_products.py")
    # kdzoo is already imported, so pytest warns that it cannot rewrite its plugin.
    known = "-Wignore:Module already imported:pytest.PytestAssertRewriteWarning"
    pytest.main([f"--rootdir={ROOT}", "--tb=no", "-q", known, test], plugins=[collected])
    refused = sum(why is not None for why in collected.found.values())
    text = HEAD.format(refused=refused, total=len(collected.found)) + "\n".join(rows(collected.found)) + "\n"
    DOCUMENT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
