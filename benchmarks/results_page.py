"""The page of a suite's results: what may be read from them, and the suite's own report.

    kdzoo bench cifar10-attention-tenth --data-dir DIR --set data.train_per_class=250 --set data.test_per_class=200
    python benchmarks/results_page.py runs/bench/cifar10-attention-tenth --write PAGE

A suite that was run in two parts, in two folders, has two pages: --others names the other. Figures are those of
the report; nothing but the places of folders is changed in it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import textwrap
from collections.abc import Collection
from pathlib import Path

from kdzoo.bench.leaderboard import TUNED
from kdzoo.bench.results import SuiteResults, read_results
from kdzoo.registry.load import load_registry
from kdzoo.zoo import Zoo

CANDIDATES = re.compile(
    r"^### (.*) \(tuned\), .*: candidates on seed \d+\n\n((?:[^#\n].*\n|\n)*)", re.MULTILINE
)
"""The section of a tuned entry."""

ENTRY = re.compile(r"^\| ([\w-]+) \| \d+ \|", re.MULTILINE)
"""A row of a leaderboard, of an entry with its own settings."""

OTHERS = (
    "The suite's other methods are on [a page of their own]({}). `baseline` and `kd` were run for both; another kind "
    "of processor rounds otherwise, so compare an entry with those of its own page."
)
READING = {
    "cifar10-attention-tenth": """
        The published figures are those of 200 epochs on all 50,000 images, about 78,000 steps. These runs have 20
        epochs on 2,500 images, 400 steps, and a teacher that has seen the same 2,500 images. What may be read: the
        protocol runs as it is written, each method trains under it, and how far seeds lie apart. What may not be
        read: how good a method is, nor an order of the methods at full length. `kd` and `at-kd` give the labels a
        tenth of the weight, and after so few steps both follow a teacher that is hardly better than the student;
        that they are below the baseline here says nothing about a table in which they are above it.
        """,
    "cifar10-small-trials": """
        Each method of the table has the same number of trials, the plain baseline and `kd` too, chosen by Optuna from
        the learning rate and what the method's hyper-parameters declare, by validation accuracy on a seed that is
        not reported. What may be read: what tuning is worth to
        each entry, and whether a method that seems better than the baseline is so when that is tuned as long. The
        students see 2,000 images for 15 epochs; an order of the methods on more images need not be the same. Other
        work ran beside these runs, so their seconds compare with nothing.
        """,
}


def page(folder: Path, others: Path | None = None) -> str:
    """The page of the suite in ``folder``; methods that were not run there may be on the page ``others``."""
    ledger = json.loads((folder / "suite.json").read_text(encoding="utf-8"))
    name = ledger["suite"]
    title, _, report = (folder / "report.md").read_text(encoding="utf-8").partition("\n\n")
    # of a path, the last folder is what a reader may have too
    report = re.sub(r"(?<![\w.])/(?:[\w.-]+/)+", "", report)
    counts = tuned_and_own(read_results(folder))
    run, elsewhere = set(ledger["entries"]), []
    if others:
        title += ", the slow methods"
        elsewhere = [OTHERS.format(others.name)]
        run |= set(ENTRY.findall(others.read_text(encoding="utf-8")))
    reading = " ".join([*READING[name].split(), *counts, *elsewhere, *not_run(name, run)])
    about = f"On {os.cpu_count()} cores. Written by `python benchmarks/results_page.py`. {reading}"
    return f"{title}\n\n{textwrap.fill(about, 118, break_on_hyphens=False)}\n\n{condensed(report).rstrip()}\n"


def condensed(report: str) -> str:
    """The report with one table of the chosen candidates in place of a list of all for each tuned entry."""
    chosen = []
    for name, rows in CANDIDATES.findall(report):
        for settings, accuracy in re.findall(r"^\| (.*) \| ([\d.]+) \| chosen \|$", rows, re.MULTILINE):
            chosen.append(f"| {name} | {settings} | {accuracy} |")
    first = CANDIDATES.search(report)
    if first is None:
        return report
    table = "\n".join(["| method | chosen settings | validation accuracy, % |", "|---|---|---:|", *chosen])
    rest = CANDIDATES.sub("", report[first.start() :])
    return f"{report[: first.start()]}{table}\n\nThe report of the suite has every candidate.\n\n{rest}"


def tuned_and_own(results: SuiteResults) -> list[str]:
    """How many methods have a higher mean than the tuned baseline and the tuned kd, before and after tuning."""
    (pair, *others) = results.pairs
    means = {row.entry: row.last.mean for row in pair.rows}
    methods = [one for one in means if one not in ("baseline", "kd") and one + TUNED in means]
    if others or not methods or "kd" + TUNED not in means:
        return []
    plain, tuned_plain, tuned_kd = means["baseline"], means["baseline" + TUNED], means["kd" + TUNED]
    own, tuned = [means[one] for one in methods], [means[one + TUNED] for one in methods]

    def above(values: list[float], bar: float) -> int:
        return sum(value > bar for value in values)

    gains = [after - before for before, after in zip(own, tuned, strict=True)]
    return [
        f"Of the {len(methods)} methods beside plain `kd` that were run, {above(own, plain)} have with their own "
        f"settings a higher mean than the baseline with its own, {above(own, tuned_plain)} a higher one than the "
        f"tuned baseline; tuned, {above(tuned, tuned_plain)} are above the tuned baseline and "
        f"{above(tuned, tuned_kd)} above the tuned `kd`. Tuning moves a method by {min(gains):+.1f} to "
        f"{max(gains):+.1f} points."
    ]


def not_run(name: str, entries: Collection[str]) -> list[str]:
    """A sentence with the methods of the suite that the command left out, if any."""
    methods = load_registry(Zoo()).suites[name].methods
    left = [f"`{one}`" for one in methods if one not in entries]
    return [f"Not run: {', '.join(left)}."] if left else []


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of the suite")
    parser.add_argument(
        "--others", type=Path, help="the page with the suite's other methods, beside this one"
    )
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    text = page(options.folder, options.others)
    print(text)
    if options.write:
        options.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
