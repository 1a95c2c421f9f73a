"""The loops of the benchmark of the store: hand-written ones, and the engine with the store and without."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from speed import crop_and_flip, decoded, norm
from timm.optim import create_optimizer_v2
from torch import Tensor, nn
from torch.nn import functional

from kdzoo.api import EpochEnded, Event
from kdzoo.backbone import find_model
from kdzoo.cli.flags import layer
from kdzoo.data.dataset import DataSet
from kdzoo.data.open import open_data
from kdzoo.engine.checkpoint import CheckpointFile
from kdzoo.engine.components import algorithm_of, components_of, knowledge_of, scheme_of
from kdzoo.engine.loop import Loop
from kdzoo.engine.networks import Networks
from kdzoo.engine.reporter import Reporter
from kdzoo.engine.run import TrainingRun
from kdzoo.engine.store import Replays
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


@dataclass(frozen=True)
class Pair:
    """Teacher and student by timm's names, images and batch size, epochs of each loop in each round."""

    teacher: str
    student: str
    images: int
    batch: int
    epochs: int


class Bench:
    """The networks, the images, and one run of each loop.

    Args:
        pair: what is measured.
        data_dir: an image folder of 32x32 pictures.
        folder: for what is written meanwhile.
    """

    def __init__(self, pair: Pair, data_dir: Path, folder: Path) -> None:
        self.pair, self.folder = pair, folder
        self.zoo = Zoo()
        for model in (pair.teacher, pair.student):
            find_model(model, self.zoo)  # timm learns of those that plugins bring
        self.classes = len(list((data_dir / "train").iterdir()))
        self.images, self.labels = (each[: pair.images] for each in _shuffled(decoded(data_dir)))
        self.weights = folder / "teacher.pth"
        self.recipe = self._recipe(data_dir)
        self.fabric = make_fabric(self.recipe, accelerator="cpu")
        self.data: DataSet = open_data(self.recipe.data, seed=0, device=self.fabric.device, zoo=self.zoo)
        torch.manual_seed(0)
        torch.save(self.network(pair.teacher).state_dict(), self.weights)
        self.steps = len(self.data.train)

    def _recipe(self, data_dir: Path) -> Recipe:
        pair = self.pair
        layers = layer(
            teacher=pair.teacher, teacher_checkpoint=self.weights, student=pair.student, data_dir=data_dir,
            epochs=pair.epochs, batch_size=pair.batch, val_fraction=0.0,
        )  # fmt: skip
        settings = {
            "knowledge": {"temperature": TEMPERATURE},
            "data": {"train_per_class": pair.images // self.classes},
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

    def store(self, folder: Path) -> Replays:
        """A store that writes to ``folder``."""
        found = components_of(self.recipe, self.zoo)
        os.environ["KDZOO_CACHE"] = str(folder)
        identity = identity_of(self.recipe, facts_of(self.data), found)
        store = open_store(self.recipe, identity, self.data, self.fabric, print)
        assert store is not None
        return store

    def kdzoo(self, store: Replays | None) -> list[float]:
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
        student, teacher = self.network(self.pair.student).train(), self.network(self.pair.teacher).eval()
        teacher.load_state_dict(torch.load(self.weights, weights_only=True))
        optimizer = create_optimizer_v2(student, opt="adamw", lr=2e-3, weight_decay=0.05)
        (mean, std), (soft_mean, soft_std) = norm(student), norm(teacher)
        seconds = []
        for _ in range(self.pair.epochs):
            start, order = time.perf_counter(), torch.randperm(len(self.images))
            for chosen in order[: self.steps * self.pair.batch].split(self.pair.batch):
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
