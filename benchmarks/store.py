"""What is gained by replaying a teacher's answers from the store?

    python benchmarks/store.py --data-dir DIR --write docs/benchmarks/store.md

Three parts; ``--only pair``, ``suite`` or ``timm`` measures one of them and leaves the others in the file.

pair: five loops train the same student on the same images, in turns: a hand-written loop of the student alone; a
hand-written loop of kd; the engine that ``kdzoo distill`` runs, without a store, recording, and replaying.

suite: ``kdzoo bench`` of twelve methods on logits and embeddings, two seeds each, without a store and with one that
is empty at first. The teacher is trained before.

timm: the engine, replaying, and timm's LogitDistillationTask with timm's loader, in turns.

Without ``--data-dir`` a folder of made-up JPEGs is used. ``--quick`` shows in about a minute that each part works.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from speed import BATCH, STUDENT, TEACHER, TimmLoop, cpu, random_folder
from store_loops import LOOPS, Bench, Pair

from kdzoo.yaml_text import to_yaml

METHODS = ("kd", "dkd", "nkd", "wsld", "dist", "lskd", "srrl", "rkd", "cc", "pkt", "crd", "hkd")
TITLES = {
    "pair": "A step: replaying against asking",
    "suite": "A suite of twelve methods",
    "timm": "Against timm's distillation task",
}


def pair(flags: argparse.Namespace, data_dir: Path, folder: Path) -> list[str]:
    """The five loops."""
    bench = Bench(
        Pair(flags.teacher, flags.student, flags.images, flags.batch, flags.epochs), data_dir, folder
    )
    times: dict[str, list[float]] = {name: [] for name in LOOPS}
    full = folder / "full"
    bench.kdzoo(bench.store(full))  # fills the store, and warms up
    for number in range(flags.rounds):
        loops: dict[str, Callable[[], list[float]]] = {
            "student": lambda: bench.hand(taught=False),
            "hand": lambda: bench.hand(taught=True),
            "plain": lambda: bench.kdzoo(None),
            "recording": lambda number=number: bench.kdzoo(bench.store(folder / f"round{number}")),
            "replaying": lambda: bench.kdzoo(bench.store(full)),
        }
        for name in LOOPS if number % 2 == 0 else LOOPS[::-1]:
            times[name] += [1000 * one for one in loops[name]()]
    written = sum(one.stat().st_size for one in full.rglob("*.safetensors"))
    answers = flags.epochs * bench.steps * flags.batch
    middle = {name: statistics.median(each) for name, each in times.items()}
    rows = {
        "student": "hand-written loop, the student alone",
        "hand": "hand-written loop of kd",
        "plain": "kdzoo, kd, no store",
        "recording": "kdzoo, kd, recording",
        "replaying": "kdzoo, kd, replaying",
    }
    return [
        f"Teacher {flags.teacher}, student {flags.student}, {bench.steps * flags.batch} images of 32x32, batch "
        f"{flags.batch}, {flags.epochs} epoch{'s' * (flags.epochs != 1)} in each of {flags.rounds} rounds in which "
        "the loops take turns.",
        "",
        "| loop | ms per step (median of epochs) | fastest to slowest |",
        "|---|---:|---:|",
        *(
            f"| {text} | {middle[name]:.1f} | {min(times[name]):.1f} to {max(times[name]):.1f} |"
            for name, text in rows.items()
        ),
        "",
        f"Replaying takes {middle['replaying'] / middle['student']:.3f} x the time of the student alone, and is "
        f"{middle['hand'] / middle['replaying']:.2f} x faster than the hand-written loop of kd. Recording takes "
        f"{middle['recording'] / middle['plain']:.3f} x the time of a run without a store. The store holds "
        f"{written / answers:.0f} bytes for each image and epoch.",
    ]


def suite(flags: argparse.Namespace, data_dir: Path, folder: Path) -> list[str]:
    """The suite without and with the store; each in a process of its own, from its start to its report."""
    classes = len(list((data_dir / "train").iterdir()))
    methods, seeds = (METHODS[::6], (0,)) if flags.quick else (METHODS, (0, 1))
    content = {
        "summary": "Twelve methods on logits and embeddings.",
        "data": {
            "data_dir": str(data_dir),
            "train_per_class": max(1, flags.suite_images // classes),
            "test_per_class": max(1, flags.suite_images // classes // 5),
            "batch_size": flags.batch,
            "val_fraction": 0.0,
        },
        "pairs": [{"teacher": {"model": flags.teacher, "epochs": 1}, "student": flags.student}],
        "methods": list(methods),
        "baseline": methods[0],
        "seeds": list(seeds),
        "epochs": flags.suite_epochs,
    }
    file = folder / "methods.yaml"
    file.write_text(to_yaml(content), encoding="utf-8")
    environment = {**os.environ, "KDZOO_CACHE": str(folder / "cache")}

    def bench(name: str, *more: str) -> float:
        command = [
            sys.executable,
            "-m",
            "kdzoo",
            "bench",
            str(file),
            "--quiet",
            "--output",
            str(folder / name),
        ]
        started = time.perf_counter()
        subprocess.run([*command, "--set", "observers=[]", *more], check=True, env=environment)
        return time.perf_counter() - started

    bench("teachers", "--teachers-only")
    seconds = {"without": bench("without", "--set", "store_gb=0"), "with": bench("with")}
    boards = {name: json.loads((folder / name / "leaderboard.json").read_text()) for name in seconds}
    saved = sum(row["saved"] * row["last"]["n"] for row in boards["with"]["pairs"][0]["rows"])
    means = {
        name: {row["entry"]: row["last"]["mean"] for row in one["pairs"][0]["rows"]}
        for name, one in boards.items()
    }
    same = (
        "the same accuracy with and without"
        if means["with"] == means["without"]
        else "ANOTHER ACCURACY WITH IT"
    )
    ledger: dict[str, Any] = json.loads((folder / "with" / "suite.json").read_text())
    images = content["data"]["train_per_class"] * classes
    return [
        f"Teacher {flags.teacher}, student {flags.student}, {images} images of 32x32, batch {flags.batch}, "
        f"{flags.suite_epochs} epochs, {len(seeds)} seeds of {', '.join(methods)}; {ledger['workers']} runs at "
        f"a time of {ledger['threads']} thread each. Every method has {same} the store.",
        "",
        "| `kdzoo bench` | seconds |",
        "|---|---:|",
        f"| without the store | {seconds['without']:.0f} |",
        f"| with the store, empty at first | {seconds['with']:.0f} |",
        "",
        f"With the store the suite takes {seconds['without'] / seconds['with']:.2f} x less time. The runs replayed "
        f"answers for which the teacher had taken {saved:.1f} s.",
    ]


def against_timm(flags: argparse.Namespace, data_dir: Path, folder: Path) -> list[str]:
    """Replaying in turns with timm's task; the first epoch of each is a warm-up."""
    bench = Bench(Pair(TEACHER, STUDENT, flags.images, BATCH, flags.epochs), data_dir, folder)
    full = folder / "full"
    bench.kdzoo(bench.store(full))
    teacher = bench.network(TEACHER)
    teacher.load_state_dict(torch.load(bench.weights, weights_only=True))
    other = TimmLoop(data_dir, teacher, flags.workers)
    times: dict[str, list[float]] = {"kdzoo": [], "timm": []}
    other.epoch()
    for _ in range(flags.rounds):
        times["kdzoo"] += [1000 * one for one in bench.kdzoo(bench.store(full))]
        seconds, steps = other.epoch()
        times["timm"].append(1000 * seconds / steps)
    middle = {name: statistics.median(each) for name, each in times.items()}
    rows = {
        "kdzoo": "kdzoo, kd, replaying",
        "timm": f"timm's LogitDistillationTask and loader, {flags.workers} workers",
    }
    return [
        f"Teacher {TEACHER}, student {STUDENT}, {bench.steps * BATCH} images of 32x32 in kdzoo's epochs and all "
        f"of the folder in timm's, batch {BATCH}, {flags.rounds} rounds.",
        "",
        "| loop | ms per step (median of epochs) | fastest to slowest |",
        "|---|---:|---:|",
        *(
            f"| {text} | {middle[name]:.1f} | {min(times[name]):.1f} to {max(times[name]):.1f} |"
            for name, text in rows.items()
        ),
        "",
        f"kdzoo with the store is {middle['timm'] / middle['kdzoo']:.2f} x faster.",
    ]


PARTS = {"pair": pair, "suite": suite, "timm": against_timm}


def section(name: str, lines: list[str], command: str) -> str:
    """A part with its heading, the command and the machine."""
    machine = (
        f"{cpu()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads; Python {platform.python_version()}, "
        f"torch {torch.__version__}, timm {timm.__version__}."
    )
    return "\n".join([f"## {TITLES[name]}", "", *lines, "", f"Made by `{command}` on: {machine}", ""])


def document(sections: dict[str, str], before: str = "") -> str:
    """The page: the new sections, and of the page before those that were not measured now."""
    kept = dict(re.findall(r"^(## .*)\n((?:(?!^## ).*\n?)*)", before, re.MULTILINE))
    found = []
    for name, title in TITLES.items():
        if name in sections:
            found.append(sections[name])
        elif f"## {title}" in kept:
            found.append(f"## {title}\n{kept[f'## {title}']}".rstrip() + "\n")
    return "\n".join(["# Speed with the store of teachers' answers\n", *found])


def main() -> None:
    """Read the flags, measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path, help="an image folder of 32x32 JPEGs with train/ and test/")
    parser.add_argument("--only", choices=PARTS, help="measure this part alone")
    parser.add_argument("--teacher", default="cifar_resnet32x4", help="of pair and suite")
    parser.add_argument("--student", default="cifar_resnet8x4", help="of pair and suite")
    parser.add_argument("--images", type=int, default=10_000, help="of pair and timm")
    parser.add_argument("--batch", type=int, default=64, help="of pair and suite")
    parser.add_argument("--epochs", type=int, default=2, help="of each loop in each round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--suite-images", type=int, default=1280)
    parser.add_argument("--suite-epochs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="of timm's loader")
    parser.add_argument("--quick", action="store_true", help="so few images that the figures mean nothing")
    parser.add_argument("--write", type=Path, help="also write the tables to this file")
    flags = parser.parse_args()
    if flags.quick:
        small = {"images": 256, "batch": 32, "epochs": 1, "rounds": 1, "suite_images": 40, "suite_epochs": 1}
        vars(flags).update(small, teacher=TEACHER, student=STUDENT)
    warnings.filterwarnings("ignore", message=".*pin_memory.*")  # timm asks for it; a CPU has none
    given = [f"--{name.replace('_', '-')} {value}" for name, value in vars(flags).items() if name in _SHOWN]
    shown = " ".join(["python benchmarks/store.py", *(["--data-dir DIR"] if flags.data_dir else []), *given])
    sections = {}
    with tempfile.TemporaryDirectory() as temporary:
        count = max(flags.images, flags.suite_images) + 256
        data_dir = flags.data_dir or random_folder(Path(temporary) / "images", count)
        for name in [flags.only] if flags.only else PARTS:
            folder = Path(temporary) / name
            folder.mkdir()
            os.environ["KDZOO_CACHE"] = str(folder / "cache")
            lines = PARTS[name](flags, data_dir.resolve(), folder)
            sections[name] = section(name, lines, f"{shown} --only {name}")
            print(sections[name], flush=True)
            if flags.write:  # after each part, so that none is lost
                before = flags.write.read_text(encoding="utf-8") if flags.write.exists() else ""
                flags.write.parent.mkdir(parents=True, exist_ok=True)
                flags.write.write_text(document({name: sections[name]}, before), encoding="utf-8")


_SHOWN = ("images", "batch", "epochs", "rounds", "suite_images", "suite_epochs", "workers")

if __name__ == "__main__":
    main()
