"""Two journeys from a folder to a file in use, with their costs: docs/results/compress.md.

    python benchmarks/compress.py --data-dir DIR --teacher-weights FILE --write docs/results/compress.md

DIR is CIFAR-10 as an image folder with train/ and test/. The first journey takes some images of each class with their
labels; the second takes others as one flat folder, without any. Each is one call of ``kdzoo compress``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kdzoo.bench.progress import duration
from kdzoo.use.opening import open_model
from kdzoo.use.pictures import find_pictures
from kdzoo.use.predict import predict


@dataclass(frozen=True)
class Journey:
    """A finished call: its folder, the command as a reader would type it, and folders that no reader has."""

    folder: Path
    command: str
    places: tuple[Path, ...]

    @property
    def record(self) -> dict[str, Any]:
        """The content of its ``compress.json``."""
        found: dict[str, Any] = json.loads((self.folder / "compress.json").read_text())
        return found

    def report(self) -> str:
        """Its report, with titles two levels further down and without places of this machine."""
        text = (self.folder / "report.md").read_text()
        lines = [f"##{line}" if line.startswith("#") else line for line in text.splitlines()[1:]]
        told = "\n".join(lines).strip()
        for place in (self.folder.parent, *self.places):
            told = told.replace(f"{place}/", "")
        return told


def links(source: Path, target: Path, number: int, *, skip: int = 0, flat: bool = False) -> None:
    """Link so many images of each class, after the first ``skip``."""
    for place in sorted(one for one in source.iterdir() if one.is_dir()):
        into = target if flat else target / place.name
        into.mkdir(parents=True, exist_ok=True)
        for file in sorted(place.iterdir())[skip : skip + number]:
            name = f"{place.name}-{file.name}" if flat else file.name
            if not (into / name).is_symlink():
                (into / name).symlink_to(file.absolute())


def call(folder: Path, pictures: Path, options: argparse.Namespace, budget: str, *more: str) -> Journey:
    """Run the command, and show what it says."""
    weights = str(options.teacher_weights.absolute())
    arguments = ["--budget", budget, "--teacher", options.teacher, "--teacher-weights", weights]
    arguments += ["--img-size", str(options.img_size), *more]
    done = subprocess.run(
        [sys.executable, "-m", "kdzoo", "compress", pictures.name, *arguments, "--output", folder.name],
        cwd=folder.parent,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    print(done.stdout, flush=True)
    return Journey(
        folder,
        f"kdzoo compress {pictures.name} {shlex.join(map(shown, arguments))}",
        (options.teacher_weights.absolute().parent,),
    )


def shown(argument: str) -> str:
    """An argument of a command as a reader would type it."""
    return Path(argument).name if Path(argument).is_absolute() else argument


def compared(journey: Journey, pictures: Sequence[Path]) -> str:
    """The file's answers and torch's to pictures, from the files on disk."""
    names = [str(one) for one in pictures]
    file, student = journey.folder / journey.record["results"]["file"], journey.folder / "student"
    answers = []
    for model in (file, student):
        found = [one.output for one in predict(open_model(str(model)), find_pictures(names))]
        answers.append(np.stack([one.numpy() for one in found if one is not None]))
    gap = float(np.abs(answers[0] - answers[1]).max())
    same = 100 * float((answers[0].argmax(1) == answers[1].argmax(1)).mean())
    return (
        f"Asked again with `kdzoo predict`'s own function on {len(names)} pictures that it has not seen: largest "
        f"difference of the file to torch {gap:.2g}, the largest output is the same for {same:.4g} %."
    )


def page(journeys: Sequence[tuple[str, str, Journey, str]], options: argparse.Namespace) -> str:
    """The document."""
    cores = len(os.sched_getaffinity(0))
    parts = [
        "# Two journeys: from a folder to a file in use",
        f"Each is one call of [kdzoo compress](../compress.md) on {cores} cores, with `{options.teacher}` "
        "and its real ImageNet weights as the teacher. What follows is what the command wrote; it is one measurement "
        "of each, not a benchmark of methods.",
        f"    python benchmarks/compress.py {shlex.join(map(shown, sys.argv[1:]))}",
    ]
    for title, about, journey, again in journeys:
        spent = journey.record["spent"]
        took = f"It took {duration(spent)}."
        parts += [f"## {title}", about, f"    {journey.command}", took, again, journey.report()]
    parts.append(f"Measured on {platform.machine()}, Python {platform.python_version()}.")
    return "\n\n".join(map(wrapped, "\n\n".join(parts).split("\n\n"))) + "\n"


def wrapped(paragraph: str) -> str:
    """A paragraph of prose in lines of a readable length; tables, titles and commands as they are."""
    prose = not paragraph.startswith(("|", "#", "    ", "```"))
    return (
        textwrap.fill(paragraph, 118, break_long_words=False, break_on_hyphens=False) if prose else paragraph
    )


def unseen(cifar: Path, skip: int) -> list[Path]:
    """Six test pictures of each class, after the first ``skip``."""
    folders = sorted(one for one in (cifar / "test").iterdir() if one.is_dir())
    return [file for folder in folders for file in sorted(folder.iterdir())[skip : skip + 6]]


def journeys(options: argparse.Namespace, root: Path) -> Iterator[tuple[str, str, Journey, str]]:
    cifar, number, tests = options.data_dir, options.per_class, options.test_per_class
    others = unseen(cifar, tests)
    if 1 in options.journeys:
        links(cifar / "train", root / "cifar10" / "train", number)
        links(cifar / "test", root / "cifar10" / "test", tests)
        first = call(root / "first", root / "cifar10", options, options.budget, *options.first)
        about = (
            f"CIFAR-10 as class folders, cut to {number} training and {tests} test pictures of each class, shown at "
            f"{options.img_size} pixels."
        )
        yield "With labels", about, first, compared(first, others)
    if 2 in options.journeys:
        links(cifar / "train", root / "photographs", options.flat_per_class, skip=number, flat=True)
        second = call(root / "second", root / "photographs", options, options.flat_budget, *options.second)
        total = sum(1 for _ in (root / "photographs").iterdir())
        about = f"A flat folder of {total:,} pictures without labels: other ones of CIFAR-10."
        yield "Without labels", about, second, compared(second, others)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--teacher-weights", type=Path, required=True)
    parser.add_argument("--teacher", default="tf_efficientnet_lite0")
    parser.add_argument("--img-size", type=int, default=64)
    parser.add_argument("--per-class", type=int, default=200)
    parser.add_argument("--test-per-class", type=int, default=100)
    parser.add_argument("--flat-per-class", type=int, default=200)
    parser.add_argument("--budget", default="14m")
    parser.add_argument("--flat-budget", default="6m")
    parser.add_argument("--first", type=shlex.split, default=["--max-params", "200k"])
    parser.add_argument("--second", type=shlex.split, default=["--max-params", "400k"], help="further flags")
    parser.add_argument("--journeys", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--keep", type=Path, help="where the folders are left; default: nowhere")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    options.data_dir = options.data_dir.absolute()
    with tempfile.TemporaryDirectory(prefix="compress-") as place:
        root = options.keep.absolute() if options.keep else Path(place)
        root.mkdir(parents=True, exist_ok=True)
        text = page(list(journeys(options, root)), options)
    if options.write:
        options.write.parent.mkdir(parents=True, exist_ok=True)
        options.write.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
