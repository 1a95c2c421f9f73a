"""How fast is a distillation step, and where does an epoch's time go?

    python benchmarks/speed.py --data-dir DIR --write docs/benchmarks/speed.md

Three loops train the same student (test_efficientnet) from the same teacher (test_resnet) on the same image
folder at 32x32 and batch 128, alternated in one process so that a drifting clock hits all three:

- kdzoo: the engine that ``kdzoo distill`` runs, with its data pipeline;
- hand: a hand-written loop with the same arithmetic and an in-memory pipeline of its own;
- timm: timm's LogitDistillationTask fed by timm's loader from the JPEG files, with two workers.

Without ``--data-dir`` a folder of made-up JPEGs is used.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from timm.data import create_dataset, create_loader
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.task import LogitDistillationTask
from torch import Tensor, nn
from torch.nn import functional

from kdzoo.api import Algorithm, EpochEnded, Event, Phase, Run
from kdzoo.backbone import Backbone
from kdzoo.cli.flags import layer
from kdzoo.data.open import open_data
from kdzoo.engine.checkpoint import CheckpointFile
from kdzoo.engine.components import algorithm_of, knowledge_of, scheme_of
from kdzoo.engine.loop import Loop
from kdzoo.engine.networks import Networks
from kdzoo.engine.reporter import Reporter
from kdzoo.engine.run import TrainingRun
from kdzoo.jobs.train import make_fabric
from kdzoo.recipe.identity import Identity
from kdzoo.recipe.layers import Layer
from kdzoo.recipe.model import Recipe
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo

TEACHER, STUDENT, BATCH, SIZE = "test_resnet", "test_efficientnet", 128, 32
TEMPERATURE, TASK, TEACH = 4.0, 0.1, 0.9


@dataclass
class Times:
    """Seconds per step of each epoch of one loop."""

    epochs: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Milliseconds per step: the median over epochs."""
        return 1000 * statistics.median(self.epochs)

    @property
    def spread(self) -> str:
        """Fastest and slowest epoch in milliseconds per step."""
        return f"{1000 * min(self.epochs):.1f} to {1000 * max(self.epochs):.1f}"


def kdzoo_run(
    data_dir: Path, epochs: int, folder: Path, observe: Callable[[Event], None], **more: object
) -> tuple[TrainingRun, Zoo, Recipe]:
    """The engine's run for the method kd, as ``kdzoo distill`` builds it; ``more`` are keys of the section data."""
    zoo = Zoo()
    teacher = folder / "teacher.pth"
    torch.manual_seed(0)
    network = timm.create_model(TEACHER, num_classes=len(list((data_dir / "train").iterdir())))
    torch.save(network.state_dict(), teacher)
    flags = layer(
        teacher=TEACHER, teacher_checkpoint=teacher, student=STUDENT, data_dir=data_dir, epochs=epochs,
        batch_size=BATCH, val_fraction=0.0,
    )  # fmt: skip
    settings = {
        "data": more,
        "knowledge": {"temperature": TEMPERATURE},
        "observers": [],
        "checkpoint_seconds": 1e9,
    }
    recipe = resolve(
        zoo=zoo, registry=load_registry(zoo), method="kd", layers=[*flags, Layer("benchmark", settings)]
    )
    fabric = make_fabric(recipe, accelerator="cpu")
    data = open_data(recipe.data, seed=0, device=fabric.device, channels_last=True)
    networks = Networks(recipe, data, fabric.device, lambda role, config: teacher)
    scheme = scheme_of(recipe, zoo)
    listeners = [Reporter(observe)]
    run = TrainingRun(recipe, data, fabric, scheme, knowledge_of(recipe, zoo), networks, listeners=listeners)
    scheme.enroll(run)
    return run, zoo, recipe


class HandWritten:
    """The loop that somebody would write for one experiment."""

    def __init__(self, images: Tensor, labels: Tensor, teacher: nn.Module, epochs: int) -> None:
        self.images, self.labels = images, labels
        self.teacher = teacher.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.student = timm.create_model(STUDENT, num_classes=int(labels.max()) + 1)
        self.student.to(memory_format=torch.channels_last).train()
        self.optimizer = create_optimizer_v2(self.student, opt="adamw", lr=2e-3, weight_decay=0.05)
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
            labels = self.labels[chosen]
            self.schedule.step_update(self.done)
            with torch.no_grad():
                mean, std = self.teacher_norm
                soft = functional.log_softmax(self.teacher((images - mean) / std) / TEMPERATURE, dim=1)
            mean, std = self.student_norm
            logits = self.student((images - mean) / std)
            hard = functional.cross_entropy(logits, labels)
            teach = functional.kl_div(
                functional.log_softmax(logits / TEMPERATURE, dim=1),
                soft,
                log_target=True,
                reduction="batchmean",
            )
            (TASK * hard + TEACH * TEMPERATURE**2 * teach).backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.done += 1
        return time.perf_counter() - start


def crop_and_flip(images: Tensor, chosen: Tensor, pad: int = 4) -> Tensor:
    """Random crops and flips of (N, H, W, C) uint8 images by one gather each."""
    batch = functional.pad(images[chosen], (0, 0, pad, pad, pad, pad))
    top, left = torch.randint(0, 2 * pad + 1, (2, len(chosen)))
    rows = top[:, None] + torch.arange(SIZE)
    columns = left[:, None] + torch.arange(SIZE)
    flip = torch.rand(len(chosen)) < 0.5
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    return batch[torch.arange(len(chosen))[:, None, None], rows[:, :, None], columns[:, None, :]]


def norm(model: nn.Module) -> tuple[Tensor, Tensor]:
    """The mean and standard deviation that a timm model expects."""
    config = model.pretrained_cfg
    return torch.tensor(config["mean"]).view(1, -1, 1, 1), torch.tensor(config["std"]).view(1, -1, 1, 1)


class TimmLoop:
    """timm's own distillation task and loader."""

    def __init__(
        self, data_dir: Path, teacher: nn.Module, workers: int, side: int = SIZE, **views: object
    ) -> None:
        dataset = create_dataset("", root=str(data_dir), split="train")
        self.student = timm.create_model(STUDENT, num_classes=len(dataset.reader.class_to_idx))
        self.student.to(memory_format=torch.channels_last)
        self.task = LogitDistillationTask(
            student_model=self.student, teacher_model=teacher.to(memory_format=torch.channels_last),
            criterion=nn.CrossEntropyLoss(), distill_loss_weight=TEACH, task_loss_weight=TASK,
            temperature=TEMPERATURE, device=torch.device("cpu"), verbose=False,
        )  # fmt: skip
        self.task.train()
        self.optimizer = create_optimizer_v2(self.student, opt="adamw", lr=2e-3, weight_decay=0.05)
        self.loader = create_loader(
            dataset, input_size=(3, side, side), batch_size=BATCH, is_training=True,
            num_workers=workers, use_prefetcher=False, device=torch.device("cpu"), persistent_workers=True,
            mean=self.student.pretrained_cfg["mean"], std=self.student.pretrained_cfg["std"],
            **{"color_jitter": 0.0, **views},
        )  # fmt: skip

    def epoch(self) -> tuple[float, int]:
        """Train one epoch; the seconds it took and its steps."""
        start, steps = time.perf_counter(), 0
        for images, labels in self.loader:
            images = images.contiguous(memory_format=torch.channels_last)
            loss = self.task(images, labels)["loss"]
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            steps += 1
        return time.perf_counter() - start, steps


class Alternate(Algorithm):
    """Between the engine's epochs, the other loops run one each."""

    name = "alternate"

    def __init__(
        self, inner: Callable[[Run], Iterator[Phase]], epochs: int, others: Callable[[], None]
    ) -> None:
        self.inner, self.epochs, self.others = inner, epochs, others

    def phases(self, run: Run) -> Iterator[Phase]:
        """One phase for each epoch."""
        template = next(self.inner(run))
        for number in range(self.epochs):
            yield Phase(f"epoch {number}", template.data, template.step, 1)
            self.others()


def split_of_an_epoch(run: TrainingRun, seconds: float) -> list[tuple[str, float]]:
    """Milliseconds per step of each part, measured alone on the run's own batches."""
    steps = len(run.data.train)
    batches = list(run.data.train)[: min(steps, 40)]
    student, teacher = run.roles["student"], run.roles["teacher"]
    assert isinstance(student, Backbone)

    def per_step(work: Callable[[], object], count: int) -> float:
        work()
        start = time.perf_counter()
        work()
        return 1000 * (time.perf_counter() - start) / count

    def pipeline() -> None:
        for _, _batch in zip(range(len(batches)), run.data.train, strict=False):
            pass

    def teach() -> None:
        with torch.no_grad():
            for batch in batches:
                teacher(batch.inputs["image"])

    def learn() -> None:
        for batch in batches:
            loss = functional.cross_entropy(student(batch.inputs["image"]).logits, batch.target.clamp(min=0))
            torch.autograd.backward(loss)
            student.zero_grad()

    parts = [
        ("augmentation (gather, crop, flip, to float)", per_step(pipeline, len(batches))),
        ("teacher, forward", per_step(teach, len(batches))),
        ("student, forward and backward", per_step(learn, len(batches))),
    ]
    rest = 1000 * seconds - sum(milliseconds for _, milliseconds in parts)
    return [*parts, ("the rest (losses, optimizer, schedule, bookkeeping)", rest)]


def measure(data_dir: Path, epochs: int, workers: int) -> str:
    """Run everything and return the report as Markdown."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        times = {"kdzoo": Times(), "hand": Times(), "timm": Times()}

        def observe(event: Event) -> None:
            if isinstance(event, EpochEnded):
                times["kdzoo"].epochs.append(event.metrics["seconds"] / steps)

        opened = time.perf_counter()
        run, zoo, recipe = kdzoo_run(data_dir, epochs, folder, observe)
        opened = time.perf_counter() - opened
        train = run.data.train
        steps = len(train)
        weights = torch.load(folder / "teacher.pth", weights_only=True)
        teachers = [timm.create_model(TEACHER, num_classes=len(run.data.classes)) for _ in range(2)]
        for one in teachers:
            one.load_state_dict(weights)
        store = decoded(data_dir)
        hand = HandWritten(*store, teachers[0], epochs)
        timm_loop = TimmLoop(data_dir, teachers[1], workers)

        def others() -> None:
            times["hand"].epochs.append(hand.epoch() / hand.steps)
            seconds, count = timm_loop.epoch()
            times["timm"].epochs.append(seconds / count)

        alternate = Alternate(algorithm_of(recipe, zoo).phases, epochs, others)
        Loop(run, CheckpointFile(folder, Identity({})), dict).train(alternate, None)
        for one in times.values():
            del one.epochs[0]  # warm-up: page cache, allocator, worker start
        parts = split_of_an_epoch(run, times["kdzoo"].median / 1000)
        return report(data_dir, times, parts, opened, steps, workers)


def decoded(data_dir: Path) -> tuple[Tensor, Tensor]:
    """All training images as one uint8 tensor."""
    files = sorted((data_dir / "train").glob("*/*"))
    names = sorted({file.parent.name for file in files})
    images = torch.from_numpy(np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files]))
    return images, torch.tensor([names.index(file.parent.name) for file in files])


def report(
    data_dir: Path,
    times: dict[str, Times],
    parts: list[tuple[str, float]],
    opened: float,
    steps: int,
    workers: int,
) -> str:
    """The tables."""
    kdzoo, hand, loop = times["kdzoo"], times["hand"], times["timm"]
    rows = [
        ("kdzoo distill", kdzoo, "1"),
        ("hand-written loop, same arithmetic", hand, f"{kdzoo.median / hand.median:.3f} x its time"),
        (
            f"timm LogitDistillationTask and loader, {workers} workers",
            loop,
            f"{loop.median / kdzoo.median:.2f} x faster",
        ),
    ]
    lines = [
        "# Speed of a distillation step",
        "",
        "Made by `make bench` (`python benchmarks/speed.py --help` says what is compared).",
        "",
        f"Teacher {TEACHER}, student {STUDENT}, {SIZE}x{SIZE}, batch {BATCH}, {steps} steps an epoch, "
        f"{len(kdzoo.epochs)} epochs of each loop alternated in one process, channels_last, float32.",
        "",
        f"{cpu()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads; Python {platform.python_version()}, "
        f"torch {torch.__version__}, timm {timm.__version__}.",
        "",
        "| loop | ms per step (median of epochs) | fastest to slowest | kdzoo against it |",
        "|---|---:|---:|---:|",
        *(f"| {name} | {one.median:.1f} | {one.spread} | {ratio} |" for name, one, ratio in rows),
        "",
        "Where a step of kdzoo goes (each part measured alone, on the same batches):",
        "",
        "| part | ms per step |",
        "|---|---:|",
        *(f"| {name} | {milliseconds:.1f} |" for name, milliseconds in parts),
        "",
        f"Decoding is paid once: opening the data set took {opened:.1f} s in this run (seconds for the first run "
        "on a folder, less than one for each run after it), timm's loader decodes in every epoch.",
        "",
    ]
    return "\n".join(lines)


def cpu() -> str:
    """The processor's name."""
    try:
        text = Path("/proc/cpuinfo").read_text()
        return next(
            line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"


def random_folder(folder: Path, count: int = 6400) -> Path:
    """An image folder of JPEGs that are as smooth as photographs, so that they cost as much to decode."""
    generator = np.random.default_rng(0)
    for number in range(count):
        directory = folder / ("train" if number >= 256 else "test") / f"class{number % 10}"
        directory.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(
            directory / f"{number:05d}.jpg", quality=90
        )
    return folder


def main() -> None:
    """Read the flags, measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path, help="an image folder of 32x32 JPEGs with train/ and test/")
    parser.add_argument("--epochs", type=int, default=6, help="of each loop; the first is a warm-up")
    parser.add_argument("--workers", type=int, default=2, help="of timm's loader")
    parser.add_argument("--write", type=Path, help="also write the tables to this file")
    flags = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*pin_memory.*")  # timm asks for it; a CPU has none
    with tempfile.TemporaryDirectory() as temporary:
        data_dir = flags.data_dir or random_folder(Path(temporary))
        text = measure(data_dir, flags.epochs, flags.workers)
    print(text)
    if flags.write:
        flags.write.parent.mkdir(parents=True, exist_ok=True)
        flags.write.write_text(text)


if __name__ == "__main__":
    main()
