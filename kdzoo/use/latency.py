"""The time of one answer: measured alternately, and said with everything that it depends on."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

import torch

from kdzoo.data.counted import counted
from kdzoo.use.model import Model
from kdzoo.use.samples import made_pictures

WARM_UP, RUNS = 5, 30


@dataclass(frozen=True)
class Latency:
    """Milliseconds for a batch, from pixels in memory to answers: the median, and the 10th and 90th percentile."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ms ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class Conditions:
    """What latencies depend on.

    Attributes:
        machine: name of the processor, or of the GPU that torch networks run on.
        threads: of torch and of onnxruntime.
        batch: pictures at once.
        runs: measured answers, after the warm-up.
        warm_up: answers before that do not count.
    """

    machine: str
    threads: int
    batch: int
    runs: int = RUNS
    warm_up: int = WARM_UP

    def __str__(self) -> str:
        threads, pictures = counted(self.threads, "thread"), counted(self.batch, "picture")
        return (
            f"{self.machine}, {threads}, {pictures} at once, from pixels in memory to answers; median of {self.runs} "
            f"after {self.warm_up} that do not count (10th to 90th percentile); the networks take turns"
        )


def measured(
    models: Sequence[Model], *, batch: int = 1, device: torch.device | None = None, runs: int = RUNS
) -> tuple[list[Latency], Conditions]:
    """The latency of each network.

    They take turns, so that what else the machine does disturbs them alike.

    Args:
        models: the networks.
        batch: pictures at once.
        device: where torch networks run.
        runs: measured answers of each.
    """
    pixels = [made_pictures(one.description.preprocessing, batch) for one in models]
    seconds: list[list[float]] = [[] for _ in models]
    for turn in range(WARM_UP + runs):
        for model, shown, times in zip(models, pixels, seconds, strict=True):
            began = time.perf_counter()
            model.answer(shown)  # it comes back to the CPU, so a GPU has finished
            if turn >= WARM_UP:
                times.append(1000 * (time.perf_counter() - began))
    found = []
    for times in seconds:
        cuts = quantiles(times, n=10, method="inclusive")
        found.append(Latency(cuts[4], cuts[0], cuts[8]))
    return found, Conditions(_machine(device), torch.get_num_threads(), batch, runs)


def facts(latency: Latency) -> dict[str, Any]:
    """As plain data."""
    return {"median_ms": latency.median, "low_ms": latency.low, "high_ms": latency.high}


def _machine(device: torch.device | None) -> str:
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
        name = names[0] if names else name
    except OSError:  # not Linux
        pass
    if device is not None and device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} (files: {name})"
    return name
