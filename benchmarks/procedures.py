"""One run of each procedure on CIFAR-10 as an image folder; its figures and pictures in docs/results/procedures.md.

    OMP_NUM_THREADS=1 python benchmarks/procedures.py DATA_DIR --output FOLDER

Finished runs are not repeated, and killed ones are resumed, so the document can be rewritten at no cost.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdzoo.jobs.folder import finished

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "results" / "procedures.md"
PICTURES = DOCUMENT.with_name("pictures")

COMMON = (
    "--teacher test_resnet --teacher-epochs 40 --student test_efficientnet --data-dir DIR --batch-size 64 "
    "--set data.train_per_class=500 --set data.test_per_class=200"
)

HEAD = f"""# Procedures on CIFAR-10

One run of each procedure on a part of CIFAR-10 as an image folder (500 training and 200 test images per class), on
two CPU cores, with one seed. They show that the commands work on real images and what they achieve in minutes. They
are much shorter than the published runs, and not a ranking. Every figure is from the last row of the run's
`metrics.jsonl`: accuracies in percent on the test images, at the last epoch.

This page is written by `python benchmarks/procedures.py DIR`. Every command also has

    {COMMON}

unless it names another teacher or student.
"""


@dataclass(frozen=True)
class Procedure:
    """A run: its family, its name, the flags of ``kdzoo distill``, and what a reader should know."""

    family: str
    name: str
    flags: str
    note: str = ""


RUNS = (
    Procedure(
        "Reference",
        "kd",
        "--method kd --epochs 20",
        "Plain distillation on the same images, for comparison.",
    ),
    Procedure(
        "Adversarial",
        "gan-supplement",
        "--method gan-supplement --epochs 4 --set algorithm.width=16",
        "Generated images in addition to the real ones, a fifth of the epochs of plain distillation.",
    ),
    Procedure(
        "Adversarial",
        "robust-teacher",
        "--method pgd-training --student test_resnet --epochs 10 --set data.train_per_class=200 "
        "--set algorithm.steps=4",
        "Plain adversarial training of the robust teacher for the next run.",
    ),
    Procedure(
        "Adversarial",
        "ard",
        "--method ard --teacher-checkpoint RUNS/robust-teacher/student --epochs 10 "
        "--set data.train_per_class=200 --set algorithm.steps=4",
        "`test/robust` is the accuracy under PGD-20 at 8/255; the teacher's is also given.",
    ),
    Procedure(
        "Data-free",
        "fast",
        "--method fast --epochs 16 --set algorithm.student_steps=60 --set algorithm.width=32 "
        "--set algorithm.warmup=5",
        "The student's run opens no training image; student and teacher have different architectures. With a "
        "hundredth of the published length it only shows that the procedure runs; chance is 10.",
    ),
    Procedure(
        "Data-free",
        "deepinversion",
        "--method deepinversion --epochs 40 --set algorithm.batches=4 --set algorithm.batch_size=64 "
        "--set algorithm.steps=150",
        "256 images synthesised from the teacher; no training image is opened. As short as the previous run.",
    ),
    Procedure(
        "Quantized",
        "lsq-kd",
        "--method lsq-kd --student test_resnet --epochs 4 --set algorithm.start=teacher",
        "A copy of the teacher with two bits for weights and inputs.",
    ),
    Procedure(
        "Quantized",
        "ptq-distill",
        "--method ptq-distill --student test_resnet --epochs 3",
        "Four bits without labels and without training the float weights.",
    ),
    Procedure(
        "Quantized",
        "int8",
        "--method int8 --student test_resnet --epochs 4 --set algorithm.compile=true",
        "Latencies in milliseconds on one thread, compiled by inductor; both networks in the same way.",
    ),
    Procedure(
        "Lifelong",
        "lwf",
        "--method lwf --epochs 5",
        "Five tasks of two classes, without a memory.",
    ),
    Procedure(
        "Lifelong",
        "icarl",
        "--method icarl --epochs 5 --set algorithm.memory=200",
        "Five tasks of two classes, with 200 images in memory.",
    ),
    Procedure(
        "NAS",
        "sandwich",
        "--method sandwich --student test_resnet --epochs 6",
        "An architecture of the space with at most half of the largest one's parameters. It is selected by the "
        "divergence of its predictions from the teacher's; the points show accuracy, so the star "
        "need not be on the front.",
    ),
)

_LEFT_OUT = ("seconds", "process_seconds", "peak_memory_mb", "seed", "parameters", "epochs", "method")


def command(run: Procedure) -> str:
    """As a reader types it."""
    return f"kdzoo distill {run.flags}"


def perform(run: Procedure, data_dir: Path, folder: Path) -> Mapping[str, Any]:
    """Run it, resume it, or read its result."""
    place = folder / run.name
    found = finished(place)
    if found is not None:
        return found
    words = shlex.split(f"{COMMON} {run.flags}".replace("DIR", str(data_dir)).replace("RUNS", str(folder)))
    kdzoo = Path(sys.executable).with_name("kdzoo")
    subprocess.run([kdzoo, "distill", *words, "--output", place, "--resume"], check=True)
    result = finished(place)
    assert result is not None
    return result


def pictures(run: Procedure, folder: Path) -> list[str]:
    """The last picture of each name, copied beside the document."""
    rows = [json.loads(line) for line in (folder / run.name / "metrics.jsonl").read_text().splitlines()]
    last = {row["name"]: row["path"] for row in rows if row["event"] == "picture"}
    lines = []
    for name, path in last.items():
        PICTURES.mkdir(exist_ok=True)
        target = PICTURES / f"{run.name}-{name}.png"
        shutil.copyfile(folder / run.name / path, target)
        lines.append(f"![{run.name}: {name}](pictures/{target.name})")
    return lines


def section(run: Procedure, result: Mapping[str, Any], shown: list[str]) -> str:
    """What a reader sees of one run."""
    figures = {
        key: value
        for key, value in result.items()
        if isinstance(value, int | float)
        and key not in _LEFT_OUT
        and not key.startswith(("epoch/", "latency/"))
    }
    table = [
        "| figure | value |",
        "|---|---:|",
        *(f"| {key} | {value:.4g} |" for key, value in figures.items()),
    ]
    minutes = result["seconds"] / 60
    parts = [
        f"### {run.name}",
        f"    {command(run)}",
        run.note,
        f"{result['epochs']} epochs, {minutes:.1f} minutes.",
        "\n".join(table),
        *shown,
    ]
    return "\n\n".join(part for part in parts if part)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data_dir", type=Path)
    parser.add_argument(
        "--output", type=Path, default=ROOT / "runs" / "procedures", help="where the runs lie"
    )
    parser.add_argument("--only", nargs="*", help="names of runs; nothing is written into the repository")
    given = parser.parse_args()
    sections: dict[str, list[str]] = {}
    for run in RUNS:
        if given.only and run.name not in given.only:
            continue
        result = perform(run, given.data_dir, given.output)
        if not given.only:
            sections.setdefault(run.family, []).append(section(run, result, pictures(run, given.output)))
    if given.only:
        return
    families = [f"## {family}\n\n" + "\n\n".join(parts) for family, parts in sections.items()]
    DOCUMENT.write_text("\n\n".join([HEAD.rstrip(), *families]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
