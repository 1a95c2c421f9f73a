"""What does a step cost when the teacher's answers are replayed from the store?

    python benchmarks/store.py --data-dir DIR --write docs/benchmarks/store.md

Five loops train the same student on the same images, in turns:

- student: a hand-written loop of the student alone, no teacher;
- hand: a hand-written loop of kd;
- plain: the engine that ``kdzoo distill`` runs, store off;
- recording: the same, and the store fills;
- replaying: the same, from the full store.

Without ``--data-dir`` a folder of made-up JPEGs is used. The images are decoded before anything is measured.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import timm
import torch
from speed import cpu, crop_and_flip, decoded, norm, random_folder
from timm.optim import create_optimizer_v2
from torch import Tensor, nn
from torch.nn import functional

from kdzoo.api import EpochEnded, Event
from kdzoo.cli.flags import layer
from kdzoo.data.dataset import DataSet
from kdzoo.data.open import open_data
from kdzoo.engine.checkpoint import CheckpointFile
from kdzoo.engine.components import algorithm_of, components_of, knowledge_of, scheme_of
from kdzoo.engine.loop import Loop
from kdzoo.engine.networks import Networks
from kdzoo.engine.reporter import Reporter
from kdzoo.engine.run import TrainingRun
from kdzoo.engine.store import Store
from kdzoo.jobs.answers import open_store
from kdzoo.jobs.identity import facts_of, identity_of
from kdzoo.jobs.train import make_fabric
from kdzoo.recipe.identity import Identity
from kdzoo.recipe.layers import Layer
from kdzoo.recipe.model import Recipe
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo

TEMPERATURE, TASK, TEACH = 4.0, 0.1, 0.9
LOOPS = ("student", "hand", "plain", "recording", "replaying")


class Bench:
    """The networks' names, the images, and one run of each loop."""

    def __init__(self, flags: argparse.Namespace, data_dir: Path, folder: Path) -> None:
        self.flags, self.folder = flags, folder
        self.zoo = Zoo()
        self.classes = len(list((data_dir / "train").iterdir()))
        self.images, self.labels = (each[: flags.images] for each in _shuffled(decoded(data_dir)))
        self.weights = folder / "teacher.pth"
        self.recipe = self._recipe(data_dir)
        self.fabric = make_fabric(self.recipe, accelerator="cpu")
        self.data: DataSet = open_data(self.recipe.data, seed=0, device=self.fabric.device, zoo=self.zoo)
        torch.manual_seed(0)
        torch.save(self.network(flags.teacher).state_dict(), self.weights)
        self.steps = len(self.data.train)

    def _recipe(self, data_dir: Path) -> Recipe:
        flags = self.flags
        layers = layer(
            teacher=flags.teacher, teacher_checkpoint=self.weights, student=flags.student, data_dir=data_dir,
            epochs=flags.epochs, batch_size=flags.batch, val_fraction=0.0,
        )  # fmt: skip
        settings = {
            "knowledge": {"temperature": TEMPERATURE},
            "data": {"train_per_class": flags.images // self.classes},
            "observers": [],
            "checkpoint_seconds": 1e9,
        }
        return resolve(
            zoo=self.zoo,
            registry=load_registry(self.zoo),
            method="kd",
            layers=[*layers, Layer("benchmark", settings)],
        )

    def network(self, name: str) -> nn.Module:
        """A timm model for the data, in channels_last."""
        made: nn.Module = timm.create_model(name, num_classes=self.classes)
        return made.to(memory_format=torch.channels_last)

    def store(self, folder: Path) -> Store:
        """A store that writes to ``folder``."""
        found = components_of(self.recipe, self.zoo)
        os.environ["KDZOO_CACHE"] = str(folder)
        identity = identity_of(self.recipe, facts_of(self.data), found)
        store = open_store(self.recipe, identity, self.data, self.fabric, print)
        assert store is not None
        return store

    def kdzoo(self, store: Store | None) -> list[float]:
        """Seconds per step of each epoch of the engine."""
        seconds: list[float] = []

        def observe(event: Event) -> None:
            if isinstance(event, EpochEnded):
                seconds.append(event.metrics["seconds"] / self.steps)

        networks = Networks(self.recipe, self.data, self.fabric.device, lambda role, config: self.weights)
        knowledge, scheme = knowledge_of(self.recipe, self.zoo), scheme_of(self.recipe, self.zoo)
        run = TrainingRun(
            self.recipe, self.data, self.fabric, scheme, knowledge, networks,
            listeners=[Reporter(observe)], store=store,
        )  # fmt: skip
        scheme.enroll(run)
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            loop = Loop(run, CheckpointFile(Path(place), Identity({})), dict)
            loop.train(algorithm_of(self.recipe, self.zoo), None)
        if store is not None:
            store.close()
        return seconds

    def hand(self, taught: bool) -> list[float]:
        """Seconds per step of each epoch of a hand-written loop."""
        student, teacher = self.network(self.flags.student).train(), self.network(self.flags.teacher).eval()
        teacher.load_state_dict(torch.load(self.weights, weights_only=True))
        optimizer = create_optimizer_v2(student, opt="adamw", lr=2e-3, weight_decay=0.05)
        (mean, std), (soft_mean, soft_std) = norm(student), norm(teacher)
        seconds = []
        for _ in range(self.flags.epochs):
            start, order = time.perf_counter(), torch.randperm(len(self.images))
            for chosen in order[: self.steps * self.flags.batch].split(self.flags.batch):
                images = crop_and_flip(self.images, chosen).permute(0, 3, 1, 2).float().div_(255)
                loss = torch.zeros(())
                soft = torch.empty(0)
                if taught:
                    with torch.no_grad():
                        soft = functional.log_softmax(
                            teacher((images - soft_mean) / soft_std) / TEMPERATURE, 1
                        )
                logits = student((images - mean) / std)
                loss = functional.cross_entropy(logits, self.labels[chosen])
                if taught:
                    mine = functional.log_softmax(logits / TEMPERATURE, 1)
                    teach = functional.kl_div(mine, soft, log_target=True, reduction="batchmean")
                    loss = TASK * loss + TEACH * TEMPERATURE**2 * teach
                torch.autograd.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
            seconds.append((time.perf_counter() - start) / self.steps)
        return seconds


def _shuffled(data: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    order = torch.randperm(len(data[1]), generator=torch.Generator().manual_seed(0))
    return data[0][order], data[1][order]


def measure(bench: Bench, rounds: int) -> tuple[dict[str, list[float]], int]:
    """Milliseconds per step of each epoch of each loop, and the bytes of a full store."""
    times: dict[str, list[float]] = {name: [] for name in LOOPS}
    full = bench.folder / "full"
    bench.kdzoo(bench.store(full))  # fills the store, and warms up
    for number in range(rounds):
        loops: dict[str, Callable[[], list[float]]] = {
            "student": lambda: bench.hand(taught=False),
            "hand": lambda: bench.hand(taught=True),
            "plain": lambda: bench.kdzoo(None),
            "recording": lambda number=number: bench.kdzoo(bench.store(bench.folder / f"round{number}")),
            "replaying": lambda: bench.kdzoo(bench.store(full)),
        }
        for name in LOOPS:
            times[name] += [1000 * one for one in loops[name]()]
    written = sum(one.stat().st_size for one in full.rglob("*.safetensors"))
    return times, written


def report(bench: Bench, times: dict[str, list[float]], written: int, command: str) -> str:
    """The table."""
    flags = bench.flags
    middle = {name: statistics.median(each) for name, each in times.items()}
    rows = {
        "student": "hand-written loop, the student alone",
        "hand": "hand-written loop of kd",
        "plain": "kdzoo, kd, no store",
        "recording": "kdzoo, kd, recording",
        "replaying": "kdzoo, kd, replaying",
    }
    answers = flags.epochs * bench.steps * flags.batch
    return "\n".join(
        [
            "# Speed with the store of teachers' answers",
            "",
            f"Made by `{command}`.",
            "",
            f"Teacher {flags.teacher}, student {flags.student}, {bench.steps * flags.batch} images of 32x32, batch "
            f"{flags.batch}, {flags.epochs} epochs in each of {flags.rounds} rounds in which the loops take turns.",
            "",
            f"{cpu()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads; "
            f"Python {platform.python_version()}, torch {torch.__version__}, timm {timm.__version__}.",
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
            f"{middle['recording'] / middle['plain']:.3f} x the time of a run without a store.",
            "",
            f"The store holds {written / answers:.0f} bytes for each image and epoch.",
            "",
        ]
    )


def main() -> None:
    """Read the flags, measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path, help="an image folder of 32x32 JPEGs with train/ and test/")
    parser.add_argument("--teacher", default="cifar_resnet32x4")
    parser.add_argument("--student", default="cifar_resnet8x4")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=2, help="of each loop in each round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--write", type=Path, help="also write the table to this file")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data_dir = flags.data_dir or random_folder(folder / "images", flags.images + 256)
        bench = Bench(flags, data_dir, folder)
        times, written = measure(bench, flags.rounds)
        shown = "DIR" if flags.data_dir else None
        command = " ".join(
            [
                "python benchmarks/store.py",
                *([f"--data-dir {shown}"] if shown else []),
                f"--images {flags.images} --epochs {flags.epochs} --rounds {flags.rounds}",
            ]
        )
        text = report(bench, times, written, command)
    print(text)
    if flags.write:
        flags.write.parent.mkdir(parents=True, exist_ok=True)
        flags.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
