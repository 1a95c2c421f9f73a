"""The effect tests of all plugins, over several seeds, as a table.

    OMP_NUM_THREADS=1 python benchmarks/effects.py --write docs/benchmarks/effects.md
    OMP_NUM_THREADS=1 python benchmarks/effects.py --procedures --write docs/benchmarks/effects-procedures.md
    OMP_NUM_THREADS=1 python benchmarks/effects.py --package kdzoo-foundation --write docs/benchmarks/effects.md

The first has the losses and the schemes, the second the whole procedures. The experiments and the margins are those
of `plugins/*/tests/test_*_effect*.py`, which run one seed each. With --package the lines of the other packages stay
as the file has them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from kdzoo.jobs.provenance import machine, versions

ROOT = Path(__file__).parents[1]
PROCESSES = 2
PROCEDURES = ("kdzoo-adversarial", "kdzoo-data-free", "kdzoo-quantized", "kdzoo-lifelong", "kdzoo-nas")

LOSSES_HEAD = """# Effect of each method

Small experiments on the embedded digits (`lsp`: on a synthetic citation graph) in which labels or images are removed,
so that only distillation can compensate for them. Unless the line says otherwise the teacher is `test_resnet`,
trained on all labels, and the student `test_efficientnet`; 540 test images. They show that a method has the effect
that it claims, not which one is best: they are not a ranking.

Settings, margins and measures of several lines (the learning rate of `dml` and related methods, the stages of
`fitnet-two-phase`, the weight and length of `irg`, the exits of `byot`) were selected on these test images, some on
these seeds: the experiments guard against broken code, and show nothing about how a method generalises.
"""

PROCEDURES_HEAD = """# Effect of each procedure

Small experiments on the embedded digits with fewer labels, images or bits, or less memory. The teacher is
`test_resnet`, trained on all labels, unless the card of the method says otherwise. They show that a procedure has the
effect that it claims, not which one is best: they are not a ranking.

The settings (lengths, weights, learning rates, margins) were selected on these test images, some on these seeds: the
experiments guard against broken code, and show nothing about how a method generalises.
"""

PAGES = {
    True: ROOT / "docs" / "benchmarks" / "effects-procedures.md",
    False: ROOT / "docs" / "benchmarks" / "effects.md",
}
"""The pages whose lines ``--package`` measures anew, by whether they are of procedures."""

Row = tuple[str, str]
"""The claim and its measure."""


class Collector:
    """A pytest plugin that collects the records of the fixtures `beats` and `experiment`."""

    def __init__(self) -> None:
        self.figures: dict[Row, list[Mapping[str, Any]]] = defaultdict(list)
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called once for each test and stage, also where a worker process ran it."""
        if report.when != "call":
            return
        figures = [value for name, value in report.user_properties if name == "effect"]
        for one in figures:
            self.figures[one["claim"], one["measure"]].append(one)
        for claim in {one["claim"] for one in figures}:
            spent = [value for name, value in report.user_properties if name == "seconds"]
            self.seconds[claim].append(sum(spent))


def spread(values: Sequence[float]) -> str:
    """Mean ± standard deviation."""
    digits = 1 if max(map(abs, values)) > 1.5 else 3  # percents, or correlations
    return f"{statistics.fmean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


HEADER = [
    "| experiment | measure | control | method | least difference | margin | seconds |",
    "|---|---|---:|---:|---:|---:|---:|",
]


def taken_apart(page: str) -> tuple[str, dict[str, list[str]], list[str]]:
    """What is before the table of a page, the lines of the table by experiment, and the paragraphs after it."""
    before, _, rest = page.partition("\n".join(HEADER) + "\n")
    rows, _, after = rest.partition("\n\n")
    found: dict[str, list[str]] = {}
    claim = ""
    for line in rows.splitlines():
        claim = line.split(" | ")[0].removeprefix("|").strip() or claim
        found.setdefault(claim, []).append(line)
    return before, found, after.rstrip("\n").split("\n\n")


def lines(collected: Collector) -> dict[str, list[str]]:
    """A line for each measure, by experiment."""
    found: dict[str, list[str]] = {}
    before = None
    for (claim, measure), figures in sorted(collected.figures.items()):
        least = min(one["method"] - one["control"] for one in figures)
        cells = [
            claim if claim != before else "",
            measure,
            spread([one["control"] for one in figures]),
            spread([one["method"] for one in figures]),
            f"{least:.3g}",
            f"{figures[0]['margin']:g}",
            f"{statistics.median(collected.seconds[claim]):.0f}" if claim != before else "",
        ]
        found.setdefault(claim, []).append(f"| {' | '.join(cells)} |")
        before = claim
    return found


def table(found: Mapping[str, Sequence[str]]) -> str:
    """The lines in the order of the experiments."""
    return "\n".join([*HEADER, *(line for _, some in sorted(found.items()) for line in some)])


def described() -> str:
    """Where it was measured, and with what."""
    where, what = machine(torch.device("cpu")), versions()
    return (
        f"{where['name']}, {where['cores']} cores, {PROCESSES} processes of one thread; Python {what['python']}, "
        f"torch {what['torch']}, timm {what['timm']}, kdzoo {what['kdzoo']}"
    )


def of_package(collected: Collector, page: str, flags: argparse.Namespace) -> str:
    """The page with the lines of one package measured anew, and where that was."""
    before, found, after = taken_apart(page)
    begin = f"The lines of {flags.package} "
    new = f"{begin}are of `--seeds {flags.seeds} --package {flags.package}` on: {described()}."
    kept = [one for one in after if not one.startswith(begin)]
    return before + "\n\n".join([table(found | lines(collected)), *kept, new]) + "\n"


def report(collected: Collector, seeds: int, *, procedures: bool) -> str:
    """The document."""
    head = PROCEDURES_HEAD if procedures else LOSSES_HEAD
    kind, file = ("--procedures ", "effects-procedures") if procedures else ("", "effects")
    return f"""{head}
Over {seeds} seeds: mean ± standard deviation, and the smallest difference, paired by seed. The test requires
the margin for its one seed. Seconds are for one thread and one seed, including the control (median over the seeds).

{table(lines(collected))}

{described()}. Made by

```sh
OMP_NUM_THREADS=1 python benchmarks/effects.py {kind}--seeds {seeds} --write docs/benchmarks/{file}.md
```
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3, help="at least 2")
    parser.add_argument(
        "--procedures", action="store_true", help="the procedures instead of losses and schemes"
    )
    parser.add_argument("--package", help="only the experiments of this package, such as kdzoo-foundation")
    parser.add_argument("--write", type=Path, help="also write the document to this file")
    flags = parser.parse_args()
    if flags.seeds < 2:
        parser.error("--seeds: a standard deviation needs at least 2")
    tests = [
        str(path)
        for path in sorted(ROOT.glob("plugins/*/tests/test_*_effect*.py"))
        if (path.parts[-3] in PROCEDURES) == flags.procedures and flags.package in (None, path.parts[-3])
    ]
    if not tests:
        parser.error(f"--package {flags.package}: no experiments of that name")
    collected = Collector()
    # This script has imported kdzoo, whose pytest plugin would be rewritten first.
    known = "-Wignore:Module already imported:pytest.PytestAssertRewriteWarning"
    options = [
        f"--rootdir={ROOT}",
        f"--seeds={flags.seeds}",
        f"--numprocesses={PROCESSES}",
        "--tb=line",
        known,
    ]
    os.environ["KDZOO_TEST_SLOW"] = "1"
    failed = pytest.main([*options, *tests], plugins=[collected])
    if flags.package:
        text = of_package(collected, PAGES[flags.procedures].read_text(encoding="utf-8"), flags)
    else:
        text = report(collected, flags.seeds, procedures=flags.procedures)
    print(text)
    if flags.write:
        flags.write.parent.mkdir(parents=True, exist_ok=True)
        flags.write.write_text(text, encoding="utf-8")
    sys.exit(failed)


if __name__ == "__main__":
    main()
