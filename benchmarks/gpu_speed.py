"""For gpu.py: milliseconds of a distillation step on this device, in several loops."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import create_dataset, create_loader
from timm.task import LogitDistillationTask
from torch import Tensor, nn
from torch.nn import functional

from kdzoo.api import EpochEnded, Event
from kdzoo.backbone import find_model
from kdzoo.cli.flags import layer
from kdzoo.data.open import open_data
from kdzoo.engine.checkpoint import CheckpointFile
from kdzoo.engine.components import algorithm_of, components_of, knowledge_of, scheme_of
from kdzoo.engine.loop import Loop
from kdzoo.engine.networks import Networks
from kdzoo.engine.reporter import Reporter
from kdzoo.engine.run import TrainingRun
from kdzoo.jobs.answers import open_store
from kdzoo.jobs.identity import facts_of, identity_of
from kdzoo.jobs.train import make_fabric
from kdzoo.recipe.identity import Identity
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo

PAIRS = {
    "r32x4>r8x4": ("cifar_resnet32x4", "cifar_resnet8x4"),
    "w40-2>w16-2": ("cifar_wrn_40_2", "cifar_wrn_16_2"),
}
BATCHES = (64, 128)
LOOPS = (
    "bare, float32",
    "bare, bf16 and channels_last",
    "bare, bf16, compiled student",
    "bare, bf16, CUDA graph of the step",
    "kdzoo, float32",
    "kdzoo, bf16 and channels_last",
    "kdzoo, bf16, compiled",
    "kdzoo, bf16, replaying the store",
    "timm's task and loader, bf16",
)
CLASSES, SIDE = 10, 32
TEMPERATURE, TASK, TEACH = 4.0, 0.1, 0.9
MEAN, STD = (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)


@dataclass(frozen=True)
class Setting:
    """What is measured.

    Attributes:
        teacher, student: timm names.
        batch: images of a step.
        loop: one of :data:`LOOPS`.
        device: cuda or cpu.
        data_dir: an image folder of 32x32 images in ten classes.
        steps: of a measurement.
    """

    teacher: str
    student: str
    batch: int
    loop: str
    device: torch.device
    data_dir: Path
    steps: int


def names() -> list[str]:
    """``pair | batch | loop`` of every measurement, the most telling first."""
    return [f"{pair} | {batch} | {loop}" for pair in PAIRS for batch in BATCHES for loop in LOOPS]


def timed(name: str, device: str, data_dir: Path, steps: int, little: bool) -> dict[str, Any]:
    """The row of a measurement; ``little`` takes networks that a CPU trains in seconds."""
    pair, batch, loop = name.split(" | ")
    teacher, student = ("cifar_resnet8", "cifar_resnet8") if little else PAIRS[pair]
    for one in (teacher, student):
        find_model(one, Zoo())  # a plugin registers them with timm
    setting = Setting(teacher, student, int(batch), loop, torch.device(device), data_dir, steps)
    if "CUDA graph" in loop and setting.device.type != "cuda":
        raise RuntimeError("there are CUDA graphs on a GPU alone")
    if little and loop == "kdzoo, bf16, compiled":
        raise RuntimeError("left out by --quick: compiling takes minutes on a CPU")
    if loop.startswith("kdzoo"):
        return engine(setting)
    return task_of_timm(setting) if loop.startswith("timm") else bare(setting, little)


def bare(setting: Setting, little: bool) -> dict[str, Any]:
    """A hand-written loop over uint8 images on the device, which are cropped and flipped there."""
    half, device = "bf16" in setting.loop, setting.device
    teacher, student = (_network(one, device, half) for one in (setting.teacher, setting.student))
    teacher.eval().requires_grad_(False)
    optimizer = torch.optim.SGD(student.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    called: Callable[[Tensor], Tensor] = student
    if "compiled" in setting.loop:
        called = torch.compile(student, backend="eager" if little else "inductor")
    images = torch.randint(0, 256, (5000, SIDE, SIDE, 3), dtype=torch.uint8, device=device)
    labels = torch.randint(0, CLASSES, (5000,), device=device)
    chosen = torch.zeros(setting.batch, dtype=torch.long, device=device)
    mean, std = (torch.tensor(one, device=device).view(1, 3, 1, 1) for one in (MEAN, STD))

    def learn() -> None:
        seen = crop_and_flip(images, chosen).permute(0, 3, 1, 2).float().div_(255).sub_(mean).div_(std)
        if half:
            seen = seen.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=half, cache_enabled=False):
            with torch.no_grad():
                soft = functional.log_softmax(teacher(seen).float() / TEMPERATURE, dim=1)
            logits = called(seen).float()
        taught = functional.kl_div(
            functional.log_softmax(logits / TEMPERATURE, dim=1), soft, log_target=True, reduction="batchmean"
        )
        loss = TASK * functional.cross_entropy(logits, labels[chosen]) + TEACH * TEMPERATURE**2 * taught
        optimizer.zero_grad(set_to_none=False)
        loss.backward()
        optimizer.step()

    order = torch.Generator(device=device).manual_seed(0)
    step: Callable[[], object] = _graph(learn) if "CUDA graph" in setting.loop else learn

    def several(count: int) -> None:
        for _ in range(count):
            chosen.copy_(torch.randint(0, len(images), (setting.batch,), generator=order, device=device))
            step()

    return _measured(setting, several)


def _graph(learn: Callable[[], None]) -> Callable[[], object]:
    """The step as one CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            learn()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        learn()
    return graph.replay


def crop_and_flip(images: Tensor, chosen: Tensor, pad: int = 4) -> Tensor:
    """Random crops and flips of (N, H, W, C) uint8 images by one gather each, on their device."""
    batch = functional.pad(images[chosen], (0, 0, pad, pad, pad, pad))
    top, left = torch.randint(0, 2 * pad + 1, (2, len(chosen)), device=images.device)
    side = torch.arange(SIDE, device=images.device)
    rows, columns = top[:, None] + side, left[:, None] + side
    flip = torch.rand(len(chosen), device=images.device) < 0.5
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    each = torch.arange(len(chosen), device=images.device)
    return batch[each[:, None, None], rows[:, :, None], columns[:, None, :]]


def engine(setting: Setting) -> dict[str, Any]:
    """The loop that ``kdzoo distill`` runs, with its data pipeline, over three epochs; the first warms up."""
    zoo, half = Zoo(), "bf16" in setting.loop
    with tempfile.TemporaryDirectory() as place:
        os.environ["KDZOO_CACHE"] = str(Path(place) / "cache")
        weights = Path(place) / "teacher.pth"
        torch.save(timm.create_model(setting.teacher, num_classes=CLASSES).state_dict(), weights)
        flags = layer(
            teacher=setting.teacher, teacher_checkpoint=weights, student=setting.student, data_dir=setting.data_dir,
            epochs=3, batch_size=setting.batch, val_fraction=0.0,
        )  # fmt: skip
        settings: dict[str, Any] = {
            "data.train_per_class": max(1, setting.steps * setting.batch // CLASSES),
            "data.augment": {"crop": 4, "hflip": 0.5},
            "optim": {"opt": "momentum", "lr": 0.05, "weight_decay": 5e-4},
            "observers": [],
            "checkpoint_seconds": 1e9,
            "store_gb": 1.0 if "store" in setting.loop else 0,
            "precision": "bf16-mixed" if half else "32-true",
            "channels_last": half,
            "compile": "compiled" in setting.loop,
        }
        recipe = resolve(
            zoo=zoo,
            registry=load_registry(zoo),
            method="kd",
            layers=[*flags, Layer("benchmark", dotted(settings))],
        )
        fabric = make_fabric(recipe, accelerator=setting.device.type)
        data = open_data(recipe.data, seed=0, device=fabric.device, channels_last=half, zoo=zoo)
        identity = identity_of(recipe, facts_of(data), components_of(recipe, zoo))

        def epochs() -> list[float]:
            seconds: list[float] = []

            def observe(event: Event) -> None:
                if isinstance(event, EpochEnded):
                    seconds.append(event.metrics["seconds"] / len(data.train))

            networks = Networks(recipe, data, fabric.device, lambda role, config: weights)
            store = open_store(recipe, identity, data, fabric, lambda line: None)
            scheme = scheme_of(recipe, zoo)
            run = TrainingRun(
                recipe, data, fabric, scheme, knowledge_of(recipe, zoo), networks,
                listeners=[Reporter(observe)], store=store,
            )  # fmt: skip
            scheme.enroll(run)
            with tempfile.TemporaryDirectory() as own:
                Loop(run, CheckpointFile(Path(own), Identity({})), dict).train(
                    algorithm_of(recipe, zoo), None
                )
            if store is not None:
                store.close()
            return seconds

        if "store" in setting.loop:
            epochs()  # records
        middle = statistics.median(epochs()[1:])
        row = _row(setting, middle)
        if setting.device.type == "cuda":
            with counted() as waits:
                epochs()
            row |= {"waits": len(waits) / (3 * len(data.train)), "busy": _busy(epochs)}
        return row


def task_of_timm(setting: Setting) -> dict[str, Any]:
    """Timm's LogitDistillationTask, fed by timm's loader from the image files."""
    workers = min(8, len(os.sched_getaffinity(0)))
    dataset = create_dataset("", root=str(setting.data_dir), split="train")
    student, teacher = (_network(one, setting.device, True) for one in (setting.student, setting.teacher))
    task = LogitDistillationTask(
        student_model=student, teacher_model=teacher, criterion=nn.CrossEntropyLoss(), distill_loss_weight=TEACH,
        task_loss_weight=TASK, temperature=TEMPERATURE, device=setting.device, verbose=False,
    )  # fmt: skip
    task.train()
    optimizer = torch.optim.SGD(student.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    loader = create_loader(
        dataset, input_size=(3, SIDE, SIDE), batch_size=setting.batch, is_training=True, num_workers=workers,
        use_prefetcher=setting.device.type == "cuda", device=setting.device, persistent_workers=True,
        mean=MEAN, std=STD, color_jitter=0.0,
    )  # fmt: skip

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from loader

    stream = batches()

    def several(count: int) -> None:
        for _ in range(count):
            images, labels = next(stream)
            with torch.autocast(setting.device.type, torch.bfloat16):
                loss = task(images.contiguous(memory_format=torch.channels_last), labels)["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return _measured(setting, several)


def _network(name: str, device: torch.device, half: bool) -> nn.Module:
    made: nn.Module = timm.create_model(name, num_classes=CLASSES).to(device).train()
    return made.to(memory_format=torch.channels_last) if half else made


def _measured(setting: Setting, several: Callable[[int], None]) -> dict[str, Any]:
    """Median over three rounds of steps, after a warm-up."""
    several(max(3, setting.steps // 5))
    rounds = []
    for _ in range(3):
        _synchronize(setting.device)
        start = time.perf_counter()
        several(setting.steps)
        _synchronize(setting.device)
        rounds.append((time.perf_counter() - start) / setting.steps)
    row = _row(setting, statistics.median(rounds))
    if setting.device.type == "cuda":
        with counted() as waits:
            several(setting.steps)
        row |= {"waits": len(waits) / setting.steps, "busy": _busy(lambda: several(setting.steps))}
    return row


def _row(setting: Setting, seconds: float) -> dict[str, Any]:
    return {"ms": 1000 * seconds, "images": setting.batch / seconds}


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def counted() -> Iterator[list[str]]:
    """The operations inside the block for which the host waits for the GPU."""
    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode("default")
            found += [str(one.message) for one in caught if "synchroniz" in str(one.message)]


def _busy(work: Callable[[], object]) -> float:
    """Percent of the time that kernels run; the profiler slows the host, so it is rather more without it."""
    from torch.profiler import ProfilerActivity, profile

    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        wall = time.perf_counter() - start
    return 100 * sum(one.self_device_time_total for one in seen.key_averages()) / 1e6 / wall
