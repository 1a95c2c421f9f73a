"""For gpu.py: the page of what is known so far, from the small files of its parts alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

QUICK = (
    "**A quick run on a CPU: it proves the script, not the figures.** Networks are little and images few, so that "
    "times and accuracies mean nothing and are left out."
)

KINDS = {"checked": "components under the conformance kit", "ran": "methods for a few steps"}


def write(output: Path, page: Path, *, quick: bool) -> None:
    """Write the page of the state in ``output``."""
    machine = json.loads((output / "machine.json").read_text())
    about = "; ".join(f"{key} {value}" if key != "device" else value for key, value in machine.items())
    lines = ["# On a GPU", "", "Made by `python benchmarks/gpu.py" + (" --quick" if quick else "") + "`.", ""]
    lines += [QUICK if quick else f"Measured on {about}.", ""]
    lines += [*_correct(output), *_speed(output, quick), *_suites(output, quick)]
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(lines).rstrip("\n") + "\n", encoding="utf-8")


def parts(output: Path, kind: str) -> dict[str, Mapping[str, Any]]:
    """Name -> row of each part of a kind, in the order in which they were done."""
    files = sorted((output / "parts" / kind).glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
    return {unquote(file.stem): json.loads(file.read_text()) for file in files}


def _correct(output: Path) -> Iterator[str]:
    yield "## Correctness"
    yield ""
    for kind, what in KINDS.items():
        rows = parts(output, kind)
        wrong = {
            name: reasons
            for name, row in sorted(rows.items())
            if (reasons := [*([row["error"]] if "error" in row else []), *row.get("wrong", [])])
        }
        yield f"{len(rows) - len(wrong)} of {len(rows)} {what} hold."
        yield ""
        yield from (f"- `{name}`: {_cell(reason)}" for name, reasons in wrong.items() for reason in reasons)
        yield from [""] * bool(wrong)
    exported = {name: row["export"] for name, row in sorted(parts(output, "ran").items()) if "export" in row}
    equal = sum(one == "equal" for one in exported.values())
    yield f"{equal} of {len(exported)} exported students give on the device what they give on the CPU."
    yield ""
    others = [f"- `{name}`: {_cell(one)}" for name, one in exported.items() if one != "equal"]
    yield from [*others, ""] if others else []


def _speed(output: Path, quick: bool) -> Iterator[str]:
    rows = parts(output, "timed")
    if not rows:
        return
    yield "## Speed of a kd step"
    yield ""
    yield "CIFAR images on the device; *waits* are operations for which the host waits; *busy* is the part of time"
    yield "in which kernels run, under a profiler that slows the host."
    yield ""
    heads = ("pair", "batch", "loop", "ms a step", "images a second", "waits a step", "busy, %")
    yield from _table(heads, (_speed_row(name, row, quick) for name, row in rows.items()))


def _speed_row(name: str, row: Mapping[str, Any], quick: bool) -> Sequence[str]:
    where = name.split(" | ")
    if "error" in row:
        return (*where, _cell(row["error"]), "", "", "")
    if quick:
        return (*where, "ran", "", "", "")
    waits, busy = row.get("waits"), row.get("busy")
    return (
        *where,
        f"{row['ms']:.2f}",
        f"{row['images']:,.0f}",
        "" if waits is None else f"{waits:.2f}",
        "" if busy is None else f"{busy:.0f}",
    )


def _suites(output: Path, quick: bool) -> Iterator[str]:
    titles = {"attention": "The table of attention transfer, CIFAR-10", "data-free": "Data-free, CIFAR-10"}
    for kind, title in titles.items():
        found = parts(output, kind)
        if not found:
            continue
        yield f"## {title}"
        yield ""
        yield "Test accuracy in percent at the last epoch, mean ± half of the 95% interval over seeds."
        yield ""
        heads = ("pair", "method", "seeds", "here", "published", "here minus published", "minutes a run")
        yield from _table(
            heads, (line for pair, one in found.items() for line in _suite_rows(pair, one, quick))
        )
        for pair, one in found.items():
            if one.get("unfinished"):
                yield f"- {pair}: {one['unfinished']} runs have not ended; the same command goes on."
            yield from (f"- {pair}: {_cell(failure)}" for failure in one.get("failures", ()))
        yield ""


def _suite_rows(pair: str, one: Mapping[str, Any], quick: bool) -> Iterator[Sequence[str]]:
    if "error" in one:
        yield pair, _cell(one["error"]), "", "", "", "", ""
    for row in one.get("rows", ()):
        published = "" if row["published"] is None else f"{row['published']:.2f}"
        if quick:
            yield pair, row["method"], str(row["seeds"]), "ran", published, "", ""
            continue
        half = "" if row["half"] is None else f" ± {row['half']:.2f}"
        more = "" if row["published"] is None else f"{row['mean'] - row['published']:+.2f}".replace("-", "−")
        minutes = f"{row['seconds'] / 60:.1f}"
        yield pair, row["method"], str(row["seeds"]), f"{row['mean']:.2f}{half}", published, more, minutes


def _table(heads: Sequence[str], rows: Iterator[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    yield from ("| " + " | ".join(row) + " |" for row in rows)
    yield ""


def _cell(text: str) -> str:
    """One line that breaks no table."""
    return " ".join(str(text).split()).replace("|", "/").replace("<", "‹")
