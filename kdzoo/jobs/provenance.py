"""The provenance of a result: versions, data, weights, code, machine, time."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from kdzoo.recipe.model import Recipe
from kdzoo.version import __version__
from kdzoo.zoo import Zoo
from kdzoo.zoo.plugin import Plugin


class Clock:
    """Wall and process time of a run, over resumes."""

    def __init__(self) -> None:
        self._wall, self._process = time.monotonic(), time.process_time()
        self.wall_before = self.process_before = 0.0

    @property
    def wall(self) -> float:
        """Wall time in seconds."""
        return self.wall_before + time.monotonic() - self._wall

    @property
    def process(self) -> float:
        """Processor time of this process in seconds, summed over threads."""
        return self.process_before + time.process_time() - self._process

    def result(self, device: torch.device) -> dict[str, float]:
        """The times of the run so far."""
        return {
            "seconds": self.wall,
            "process_seconds": self.process,
            "peak_memory_mb": peak_memory_mb(device),
        }


def versions() -> dict[str, str]:
    """Versions of Python, kdzoo and the libraries that affect numbers."""
    found = {"python": platform.python_version(), "kdzoo": __version__}
    for name in ("torch", "timm", "lightning-fabric", "numpy", "wandb"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def distributions(plugins: Iterable[Plugin]) -> dict[str, str]:
    """Distribution -> version of these plugins."""
    return {plugin.distribution: plugin.version for plugin in plugins}


def data_plugins(recipe: Recipe, zoo: Zoo) -> list[Plugin]:
    """The plugin that provides the recipe's data set, if any."""
    brought = recipe.data.dataset in zoo.components("dataset")
    return [zoo.find("dataset", recipe.data.dataset).plugin] if brought else []


def git_commit() -> str | None:
    """The commit of the working directory, with ``+changes`` where files differ from it; None outside git."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        return commit + "+changes" if git("status", "--porcelain") else commit
    except (OSError, subprocess.SubprocessError):
        return None


def machine(device: torch.device) -> dict[str, Any]:
    """Where it ran."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "device": str(device),
        "name": name,
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def peak_memory_mb(device: torch.device) -> float:
    """The largest memory so far in MB: of the device on a GPU, of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"
