"""What does a step of the method ``features`` cost beside a hand-written one?

    python benchmarks/features_speed.py --write docs/benchmarks/features.md

Two loops train the same student (test_efficientnet) on the pooled features of the same frozen teacher without a
classifier (tf_efficientnet_lite0, its weights made up) at 32x32 and batch 128, alternated in one process: the
engine that ``kdzoo distill --method features`` runs, and a hand-written loop with the same arithmetic. Without
``--data-dir`` a folder of made-up JPEGs is used.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path

import timm
import torch
from speed import BATCH, SIZE, STUDENT, Alternate, Times, cpu, crop_and_flip, decoded, norm, random_folder
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from torch import Tensor, nn
from torch.nn import functional

from kdzoo.api import EpochEnded, Event
from kdzoo.data.open import open_data
from kdzoo.engine.checkpoint import CheckpointFile
from kdzoo.engine.components import algorithm_of, knowledge_of, scheme_of
from kdzoo.engine.listeners import Listener
from kdzoo.engine.loop import Loop
from kdzoo.engine.networks import Networks
from kdzoo.engine.reporter import Reporter
from kdzoo.engine.run import TrainingRun
from kdzoo.jobs.train import make_fabric
from kdzoo.recipe.identity import Identity
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.recipe.model import Recipe
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo

TEACHER, MOMENTUM, COSINE, SMOOTH = "tf_efficientnet_lite0", 0.01, 0.9, 0.1


class HandWritten:
    """The loop that somebody would write for one experiment."""

    def __init__(self, images: Tensor, teacher: nn.Module, epochs: int) -> None:
        self.images = images
        self.teacher = teacher.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.student = timm.create_model(STUDENT, num_classes=0)
        self.student.to(memory_format=torch.channels_last).train()
        self.projector = nn.Linear(self.student.num_features, self.teacher.num_features)
        self.mean, self.variance = (make(self.teacher.num_features) for make in (torch.zeros, torch.ones))
        learned = nn.ModuleList([self.student, self.projector])
        self.optimizer = create_optimizer_v2(learned, opt="adamw", lr=2e-3, weight_decay=0.05)
        self.steps = len(images) // BATCH
        self.schedule, _ = create_scheduler_v2(
            self.optimizer, "cosine", num_epochs=epochs, warmup_epochs=1, step_on_epochs=False,
            updates_per_epoch=self.steps,
        )  # fmt: skip
        self.done = 0
        self.teacher_norm, self.student_norm = norm(self.teacher), norm(self.student)

    def epoch(self) -> float:
        """Train one epoch; the seconds it took."""
        start = time.perf_counter()
        order = torch.randperm(len(self.images))
        for step in range(self.steps):
            chosen = order[step * BATCH : (step + 1) * BATCH]
            images = crop_and_flip(self.images, chosen).permute(0, 3, 1, 2).float().div_(255)
            self.schedule.step_update(self.done)
            with torch.no_grad():
                mean, std = self.teacher_norm
                theirs = pooled(self.teacher, (images - mean) / std)
                self._average(theirs)
                theirs = (theirs - self.mean) / (self.variance + 1e-5).sqrt()
            mean, std = self.student_norm
            ours = self.projector(pooled(self.student, (images - mean) / std))
            distance = 1 - functional.cosine_similarity(ours, theirs)
            loss = COSINE * distance.mean() + SMOOTH * functional.smooth_l1_loss(ours, theirs)
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.done += 1
        return time.perf_counter() - start

    def _average(self, vectors: Tensor) -> None:
        rate = max(1 / (self.done + 1), MOMENTUM)
        mean, variance = vectors.mean(dim=0), vectors.var(dim=0, correction=0)
        moved = mean - self.mean
        self.variance.lerp_(variance, rate).add_(rate * (1 - rate) * moved.square())
        self.mean.add_(rate * moved)


def pooled(network: nn.Module, images: Tensor) -> Tensor:
    """The vector that the classifier would read."""
    return network.forward_head(network.forward_features(images), pre_logits=True)


def made(
    data_dir: Path, epochs: int, folder: Path, listener: Listener
) -> tuple[TrainingRun, Zoo, Recipe, nn.Module]:
    """The engine's run with its roles enrolled, and a teacher with the same weights."""
    zoo = Zoo()
    torch.manual_seed(0)
    teacher = timm.create_model(TEACHER, num_classes=0)
    weights = folder / "teacher.pth"
    torch.save(teacher.state_dict(), weights)
    settings = {
        "data.data_dir": str(data_dir),
        "data.dataset": "folder",
        "data.batch_size": BATCH,
        "data.val_fraction": 0.0,
        "store_gb": 0.0,
        "epochs": epochs,
        "roles.student": {"model": STUDENT, "head": False},
        "roles.teacher": {"model": TEACHER, "weights": str(weights), "img_size": SIZE},
        "observers": [],
        "checkpoint_seconds": 1e9,
    }
    layers = [Layer("benchmark", dotted(settings))]
    recipe = resolve(zoo=zoo, registry=load_registry(zoo), method="features", layers=layers)
    fabric = make_fabric(recipe, accelerator="cpu")
    data = open_data(recipe.data, seed=0, device=fabric.device, channels_last=True)
    networks = Networks(recipe, data, fabric.device, lambda role, config: None, zoo)
    scheme = scheme_of(recipe, zoo)
    run = TrainingRun(recipe, data, fabric, scheme, knowledge_of(recipe, zoo), networks, listeners=[listener])
    scheme.enroll(run)
    return run, zoo, recipe, teacher


def measure(data_dir: Path, epochs: int) -> str:
    """Run both and return the table."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ours, theirs = Times(), Times()

        def observe(event: Event) -> None:
            if isinstance(event, EpochEnded):
                ours.epochs.append(event.metrics["seconds"] / steps)

        run, zoo, recipe, teacher = made(data_dir, epochs, folder, Reporter(observe))
        steps = len(run.data.train)
        hand = HandWritten(decoded(data_dir)[0], teacher, epochs)

        def others() -> None:
            theirs.epochs.append(hand.epoch() / hand.steps)

        alternate = Alternate(algorithm_of(recipe, zoo).phases, epochs, others)
        Loop(run, CheckpointFile(folder, Identity({})), dict).train(alternate, None)
        del ours.epochs[0], theirs.epochs[0]  # warm-up
    return f"""# Speed of a step without labels

Made by `python benchmarks/features_speed.py` (`--help` says what is compared).

Teacher {TEACHER}, student {STUDENT}, both without a classifier, {SIZE}x{SIZE}, batch {BATCH}, {steps} steps an epoch,
{len(ours.epochs)} epochs of each loop alternated in one process, channels_last, float32.

{cpu()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads; Python {platform.python_version()}, \
torch {torch.__version__}, timm {timm.__version__}.

| loop | ms per step (median of epochs) | fastest to slowest | kdzoo against it |
|---|---:|---:|---:|
| kdzoo distill --method features | {ours.median:.1f} | {ours.spread} | 1 |
| hand-written loop, same arithmetic | {theirs.median:.1f} | {theirs.spread} | \
{ours.median / theirs.median:.3f} x its time |
"""


def main() -> None:
    """Read the flags, measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path, help="an image folder of 32x32 JPEGs with train/ and test/")
    parser.add_argument("--images", type=int, default=3200, help="made-up images where there is no folder")
    parser.add_argument("--epochs", type=int, default=7, help="of each loop; the first is a warm-up")
    parser.add_argument("--write", type=Path, help="also write the table to this file")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        data_dir = flags.data_dir or random_folder(Path(temporary), flags.images)
        text = measure(data_dir, flags.epochs)
    print(text)
    if flags.write:
        flags.write.parent.mkdir(parents=True, exist_ok=True)
        flags.write.write_text(text)


if __name__ == "__main__":
    main()
