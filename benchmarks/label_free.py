"""Is a student that learned a teacher's features without labels a better start? docs/results/label-free.md.

    python benchmarks/label_free.py --teacher-weights FILE --data-dir DIR --write docs/results/label-free.md

DIR is an image folder with train/ and test/. No label is read while ``features`` trains the student. Then the same
student is measured at random, from its label-free start, and trained on 1 % and 10 % of the images with their labels,
from scratch and from the label-free start, for the same number of steps on the same images.
"""

from __future__ import annotations

import argparse
import math
import platform
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdzoo.data.once import Once
from kdzoo.jobs.probe import probe
from kdzoo.jobs.resources import Resources
from kdzoo.jobs.train import make_fabric, train
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.recipe.model import Recipe
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo

RANDOM, START, TEACHER = "at random", "label-free", "the teacher"


@dataclass
class Bench:
    """The settings, and the figures so far: (network, what it is, figure) -> one value for each seed."""

    options: argparse.Namespace
    folder: Path
    zoo: Zoo = field(default_factory=Zoo)
    once: Once = field(default_factory=Once)
    figures: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)

    def recipe(self, method: str, seed: int, student: Mapping[str, Any], **keys: Any) -> Recipe:
        """A recipe on these images, none of which is kept for validation."""
        common = {
            "data.data_dir": str(self.options.data_dir),
            "data.dataset": "folder",
            "data.img_size": self.options.img_size,
            "data.batch_size": self.options.batch_size,
            "data.train_per_class": self.options.train_per_class,
            "data.test_per_class": self.options.test_per_class,
            "data.val_fraction": 0.0,
            "data.split_seed": seed,
            "seed": seed,
            "observers": [],
            "checkpoint_seconds": 1e9,
            "roles.student": dict(student),
        }
        layers = [Layer("label_free.py", dotted({**common, **keys}))]
        return resolve(zoo=self.zoo, registry=load_registry(self.zoo), method=method, layers=layers)

    def train(self, name: str, recipe: Recipe) -> tuple[Mapping[str, Any], Path]:
        """The result of a run, and its exported student."""
        begun = time.perf_counter()
        result = train(recipe, self.folder / name, zoo=self.zoo)
        print(f"{name}: {time.perf_counter() - begun:.0f} s", flush=True)
        return result, self.folder / name / "student"

    def probe(self, network: str, what: str, seed: int, student: Mapping[str, Any]) -> None:
        """Measure the features of a network."""
        recipe = self.recipe("baseline", seed, {**student, "head": False})
        fabric = make_fabric(recipe, accelerator=self.options.device)
        for name, figure in probe(recipe, Resources(self.zoo, fabric, self.once), shots=()).items():
            self.note(network, what, name, figure)

    def note(self, network: str, what: str, name: str, figure: float) -> None:
        """Keep a figure of one seed."""
        self.figures.setdefault((network, what, name), []).append(figure)

    def one(self, network: str, seed: int) -> None:
        """Everything with one student and one seed."""
        options = self.options
        teacher = {
            "roles.teacher.model": options.teacher,
            "roles.teacher.weights": str(options.teacher_weights),
            "roles.teacher.img_size": options.img_size,
        }
        self.probe(network, RANDOM, seed, {"model": network})
        taught = self.recipe(
            "features", seed, {"model": network, "head": False}, epochs=options.epochs, **teacher
        )
        _, start = self.train(f"{network}-{seed}-features", taught)
        begun = {"model": f"local-dir:{start}", "weights": f"local-dir:{start}"}
        self.probe(network, START, seed, begun)
        for share in options.shares:
            images = max(1, round(share / 100 * options.train_per_class))
            for what, student in (("from scratch", {"model": network}), ("from the label-free start", begun)):
                result, folder = self.train(
                    f"{network}-{seed}-{share:g}-{what.rpartition(' ')[2]}",
                    self.recipe("baseline", seed, student, **self._short(images, len(self.classes))),
                )
                label = f"{share:g} % of the labels, {what}"
                self.note(network, label, "accuracy", result["test/last"])
                self.probe(
                    network, label, seed, {"model": f"local-dir:{folder}", "weights": f"local-dir:{folder}"}
                )

    @property
    def classes(self) -> list[str]:
        """The class folders."""
        return [one.name for one in (self.options.data_dir / "train").iterdir() if one.is_dir()]

    def _short(self, images: int, classes: int) -> dict[str, Any]:
        """As many epochs on so many images per class as give the wanted number of steps."""
        batch = min(self.options.batch_size, images * classes)
        steps = math.ceil(images * classes / batch)
        return {
            "data.train_per_class": images,
            "data.batch_size": batch,
            "epochs": max(1, round(self.options.steps / steps)),
            "eval_every": 10**6,
        }


def rows(bench: Bench, network: str) -> Iterator[str]:
    """The lines of a student's table."""
    kinds = list(dict.fromkeys(what for one, what, _ in bench.figures if one == network))
    for what in kinds:
        cells = []
        for name in ("accuracy", "knn", "linear"):
            values = bench.figures.get((network, what, name), [])
            spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.1f}{spread}" if values else "")
        yield f"| {what} | {' | '.join(cells)} |"


def page(bench: Bench, command: str) -> str:
    """The document."""
    options = bench.options
    head = f"""# A label-free start

`{options.teacher}` with pretrained weights, frozen and without its classifier, teaches a student its pooled features
(method `features`) on {options.train_per_class} training images of each of {len(bench.classes)} classes, at \
{options.img_size} pixels, for {options.epochs} epochs.
No label of these images is read in that. Then the student is trained on a share of the same images with their labels,
from scratch and from this start: the same images, {options.steps} steps, the recipe's default optimizer and learning
rate, nothing tuned.

*Accuracy* is that of the trained classifier on {options.test_per_class or "all"} test images per class. *knn* (20
neighbours, temperature 0.07) and *linear* (logistic regression) are those of the network's features with the labels
of all training images, as `kdzoo probe` measures them. In percent; mean and standard deviation over \
{len(options.seeds)} seed(s),
each with other images and another initialisation.

    {command}
"""
    tables = []
    for network in options.students:
        lines = "\n".join(rows(bench, network))
        tables.append(
            f"## {network}\n\n| student | accuracy | knn | linear |\n|---|---:|---:|---:|\n{lines}\n"
        )
    teacher = "\n".join(rows(bench, options.teacher))
    tables.append(f"## The teacher\n\n| | accuracy | knn | linear |\n|---|---:|---:|---:|\n{teacher}\n")
    return "\n".join(
        [head, *tables, f"Measured on {platform.machine()}, Python {platform.python_version()}.\n"]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    listed = {"type": lambda text: text.split(",")}
    parser.add_argument("--teacher-weights", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--teacher", default="tf_efficientnet_lite0")
    parser.add_argument("--students", default=["test_efficientnet", "mobilenetv3_small_050"], **listed)
    parser.add_argument("--img-size", type=int, default=64)
    parser.add_argument("--train-per-class", type=int, default=500)
    parser.add_argument("--test-per-class", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=10, help="of the label-free run")
    parser.add_argument("--steps", type=int, default=200, help="of every run with labels")
    parser.add_argument(
        "--shares", default=[1.0, 10.0], type=lambda text: [float(one) for one in text.split(",")]
    )
    parser.add_argument("--seeds", default=[0, 1, 2], type=lambda text: [int(one) for one in text.split(",")])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    options.data_dir, options.teacher_weights = (
        options.data_dir.absolute(),
        options.teacher_weights.absolute(),
    )
    with tempfile.TemporaryDirectory(prefix="label-free-") as folder:
        bench = Bench(options, Path(folder))
        for seed in options.seeds:
            given = {"model": options.teacher, "weights": str(options.teacher_weights)}
            bench.probe(options.teacher, TEACHER, seed, given)
            for network in options.students:
                bench.one(network, seed)
            shown = page(bench, _command())
            if options.write:
                options.write.parent.mkdir(parents=True, exist_ok=True)
                options.write.write_text(shown)
    print(shown)


def _command() -> str:
    """As it was typed, with the names of files instead of their places."""
    words = [Path(one).name if Path(one).is_absolute() else one for one in sys.argv[1:]]
    return f"python benchmarks/label_free.py {shlex.join(words)}"


if __name__ == "__main__":
    main()
