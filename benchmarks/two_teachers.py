"""Does a student of two teachers serve in both teachers' spaces? docs/results/two-teachers.md.

    python benchmarks/two_teachers.py --teacher-weights FILE --data-dir DIR --write docs/results/two-teachers.md

DIR is an image folder with train/ and test/. The first teacher is a network with pretrained weights. The second,
``test_vit``, is trained here to tell by how many quarter turns an image is rotated. No label of the data is read
while teachers or students are trained. The students: one of each teacher alone (method ``features``), one of both
(``agglomerate``), and one of both and a third teacher with random weights, with and without dropping teachers.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from speed import cpu
from torch import Tensor

from kdzoo.api import UNLABELLED
from kdzoo.data.once import Once
from kdzoo.engine.networks import Networks
from kdzoo.engine.probe import neighbours, share_right
from kdzoo.jobs.probe import features
from kdzoo.jobs.resources import Resources
from kdzoo.jobs.train import make_fabric, train
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.recipe.model import Recipe
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo

TURNS = "test_vit"
"""The second teacher."""

RIDGE = 1e-2
"""Penalty of the linear map from the student's features to a teacher's, as a share of their mean square."""


@dataclass(frozen=True)
class Features:
    """A network's embeddings (N, D) of the training and the test images."""

    train: Tensor
    test: Tensor

    def standardised(self) -> Features:
        """Each channel with mean 0 and deviation 1 on the training images."""
        mean, deviation = self.train.mean(dim=0), self.train.std(dim=0).clamp_min(1e-6)
        return Features((self.train - mean) / deviation, (self.test - mean) / deviation)


@dataclass
class Bench:
    """The settings, and the figures so far: (student, column) -> one value for each seed."""

    options: argparse.Namespace
    folder: Path
    zoo: Zoo = field(default_factory=Zoo)
    once: Once = field(default_factory=Once)
    figures: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def recipe(self, method: str, seed: int, **keys: Any) -> Recipe:
        """A recipe on these images, none of which is kept for validation."""
        options = self.options
        common = {
            "data.data_dir": str(options.data_dir),
            "data.dataset": "folder",
            "data.img_size": options.img_size,
            "data.batch_size": options.batch_size,
            "data.train_per_class": options.train_per_class,
            "data.test_per_class": options.test_per_class,
            "data.val_fraction": 0.0,
            "data.split_seed": seed,
            "seed": seed,
            "epochs": options.epochs,
            "observers": [],
            "checkpoint_seconds": 1e9,
        }
        layers = [Layer("two_teachers.py", dotted({**common, **keys}))]
        return resolve(zoo=self.zoo, registry=load_registry(self.zoo), method=method, layers=layers)

    def train(self, name: str, recipe: Recipe) -> str:
        """Train, and return the exported student as a model of timm."""
        begun = time.perf_counter()
        train(recipe, self.folder / name, zoo=self.zoo)
        print(f"{name}: {time.perf_counter() - begun:.0f} s", flush=True)
        return f"local-dir:{self.folder / name / 'student'}"

    def features(self, seed: int, model: str, weights: str) -> tuple[Features, Tensor, Tensor]:
        """A network's features, and the labels of training and test images."""
        student = {"model": model, "weights": weights, "head": False, "img_size": self.options.img_size}
        recipe = self.recipe("baseline", seed, **{"roles.student": student})
        resources = Resources(self.zoo, make_fabric(recipe, accelerator=self.options.device), self.once)
        data = resources.open(recipe)
        networks = Networks(recipe, data, resources.fabric.device, lambda role, config: None, self.zoo)
        network = networks.build("student", num_classes=0).eval()
        rows = (data.labels != UNLABELLED).nonzero().flatten()
        batches = (data.fetch(some, view=None) for some in rows.split(self.options.batch_size))
        ours, labels = features(network, batches, "image")
        theirs, truth = features(network, data.test, "image")
        return Features(ours, theirs).standardised(), labels, truth

    def turning_teacher(self, seed: int) -> str:
        """A network that tells by how many quarter turns the seed's training images are rotated."""
        place = self.folder / f"turned-{seed}"
        files = sorted((self.options.data_dir / "train").glob("*/*"))
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(files), generator=generator)[: self.options.turned].tolist()
        for number, index in enumerate(chosen):
            split = "test" if number < len(chosen) // 10 else "train"
            with Image.open(files[index]) as image:
                for turns in range(4):
                    target = place / split / f"{90 * turns} degrees"
                    target.mkdir(parents=True, exist_ok=True)
                    image.convert("RGB").rotate(90 * turns).save(target / f"{number}.png")
        keys = {
            "data.data_dir": str(place),
            "data.train_per_class": None,
            "data.test_per_class": None,
            "data.augment.hflip": 0.0,  # mirrored, a quarter turn to the left is one to the right
            "epochs": self.options.turning_epochs,
            "roles.student": {"model": TURNS, "img_size": self.options.img_size},
        }
        return self.train(f"turning-{seed}", self.recipe("baseline", seed, **keys))

    def one(self, seed: int) -> None:
        """Everything with one seed."""
        options = self.options
        size = {"train": "never", "head": False, "img_size": options.img_size}
        turning = self.turning_teacher(seed)
        poison = self.folder / f"poison-{seed}.safetensors"
        torch.manual_seed(seed)
        save_file(timm.create_model(options.poison).state_dict(), poison)
        first = {**size, "model": options.teacher, "weights": str(options.teacher_weights)}
        second = {**size, "model": turning, "weights": turning}
        third = {**size, "model": options.poison, "weights": str(poison)}
        spaces = {
            name: self.features(seed, one["model"], one["weights"])[0]
            for name, one in (("first", first), ("second", second))
        }
        both = {"teacher": first, "teacher1": first, "teacher2": second}
        poisoned = {**both, "teacher3": third}
        students: dict[str, tuple[str, Mapping[str, Any], Mapping[str, Any]]] = {
            "of the first alone": ("features", {"teacher": first}, {}),
            "of the second alone": ("features", {"teacher": second}, {}),
            "of both": ("agglomerate", both, {"algorithm.drop": 0.5, "scheme.teachers": 2}),
            "of both, and a random one": (
                "agglomerate", poisoned, {"algorithm.drop": 0.0, "scheme.teachers": 3},
            ),
            "of both, and a random one, dropping": (
                "agglomerate", poisoned, {"algorithm.drop": 0.5, "scheme.teachers": 3},
            ),
        }  # fmt: skip
        for what, (method, teachers, more) in students.items():
            roles = {f"roles.{role}": one for role, one in teachers.items()}
            student = {"roles.student": {"model": options.student, "head": False}}
            name = f"{what.replace(',', '').replace(' ', '-')}-{seed}"
            made = self.train(name, self.recipe(method, seed, **student, **roles, **more))
            labels, truth = self.measure(what, seed, made, spaces)
        for name, space in spaces.items():
            found = share_right(neighbours(space.test, space.train, labels), truth)
            self.note(f"the {name} teacher itself", "own", found)

    def measure(
        self, what: str, seed: int, model: str, spaces: Mapping[str, Features]
    ) -> tuple[Tensor, Tensor]:
        """The student's own features, and what a linear map makes of them in each teacher's space.

        Returns:
            The labels of the training and the test images.
        """
        own, labels, truth = self.features(seed, model, model)
        self.note(what, "own", share_right(neighbours(own.test, own.train, labels), truth))
        for name, space in spaces.items():
            predicted = linear_map(own, space)
            self.note(what, name, share_right(neighbours(predicted, space.train, labels), truth))
            near = torch.nn.functional.cosine_similarity(predicted, space.test)
            self.note(what, f"{name} cosine", float(near.mean()))
        return labels, truth

    def note(self, what: str, name: str, figure: float) -> None:
        """Keep a figure of one seed."""
        self.figures.setdefault((what, name), []).append(figure)


def linear_map(ours: Features, theirs: Features) -> Tensor:
    """The teacher's features of the test images, as ridge regression on the training images predicts them."""
    gram = ours.train.T @ ours.train
    penalty = RIDGE * gram.diagonal().mean() * torch.eye(len(gram))
    return ours.test @ torch.linalg.solve(gram + penalty, ours.train.T @ theirs.train)


def page(bench: Bench, command: str) -> str:
    """The document."""
    options = bench.options
    columns = ("own", "first", "second", "first cosine", "second cosine")
    lines = []
    for what in dict.fromkeys(one for one, _ in bench.figures):
        cells = []
        for name in columns:
            values = bench.figures.get((what, name), [])
            digits = 2 if "cosine" in name else 1
            spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.{digits}f}{spread}" if values else "")
        lines.append(f"| {what} | {' | '.join(cells)} |")
    table = "\n".join(lines)
    return f"""# One student of two teachers

The first teacher is `{options.teacher}` with pretrained ImageNet weights; the second, `{TURNS}`, learned on
{options.turned} CIFAR-10 images to tell by how many quarter turns they are rotated; the random one,
`{options.poison}`, learned nothing. Frozen and without classifiers, they teach `{options.student}` on
{options.train_per_class} images of each class at {options.img_size} pixels for {options.epochs} epochs. No label is
read in that. Nothing is tuned.

*own*: k-NN accuracy (20 neighbours, temperature 0.07) of the network's own features on \
{options.test_per_class or "all"} test images per class.
*first*, *second*: a linear map from the student's features to the teacher's, fitted on the training images without
labels, predicts the teacher's features of the test images; their nearest neighbours among the teacher's own features
of the training images vote. *cosine*: between these predictions and the teacher's own features of the test images.
Accuracy in percent; mean and standard deviation over {len(options.seeds)} seed(s).

| student | own | first | second | first cosine | second cosine |
|---|---:|---:|---:|---:|---:|
{table}

    {command}

{cpu()}, torch {torch.__version__}.
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--teacher-weights", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--teacher", default="tf_efficientnet_lite0")
    parser.add_argument("--student", default="test_efficientnet")
    parser.add_argument("--poison", default="test_resnet")
    parser.add_argument("--img-size", type=int, default=64)
    parser.add_argument("--train-per-class", type=int, default=200)
    parser.add_argument("--test-per-class", type=int, default=100)
    parser.add_argument("--turned", type=int, default=2000, help="images that the second teacher learns from")
    parser.add_argument("--turning-epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", default=[0, 1, 2], type=lambda text: [int(one) for one in text.split(",")])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    options.data_dir = options.data_dir.absolute()
    options.teacher_weights = options.teacher_weights.absolute()
    words = [Path(one).name if Path(one).is_absolute() else one for one in sys.argv[1:]]
    with tempfile.TemporaryDirectory(prefix="two-teachers-") as folder:
        bench = Bench(options, Path(folder))
        for seed in options.seeds:
            bench.one(seed)
            shown = page(bench, f"python benchmarks/two_teachers.py {shlex.join(words)}")
            if options.write:
                options.write.parent.mkdir(parents=True, exist_ok=True)
                options.write.write_text(shown)
    print(shown)


if __name__ == "__main__":
    main()
