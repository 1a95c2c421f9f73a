"""The workers of a suite: workers x threads never exceed the cores."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kdzoo.errors import KdzooError


@dataclass(frozen=True)
class Crew:
    """The workers of a pool.

    Attributes:
        threads: threads of each worker.
        devices: the only GPU of each worker, as in ``CUDA_VISIBLE_DEVICES``; None is no GPU. One entry per
            worker.
    """

    threads: int
    devices: tuple[str | None, ...]

    @property
    def environments(self) -> list[Mapping[str, str]]:
        """The environment variables of each worker; they must be set before it imports torch."""
        threads = str(self.threads)
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        return [
            dict.fromkeys(names, threads) | ({} if device is None else {"CUDA_VISIBLE_DEVICES": device})
            for device in self.devices
        ]

    def environments_of(self, folder: Path) -> list[Mapping[str, str]]:
        """The same, with one folder for all wandb runs of the suite in ``folder``: one command uploads them."""
        place = os.environ.get("WANDB_DIR") or str(folder.resolve())
        return [{**environment, "WANDB_DIR": place} for environment in self.environments]


def crew(
    workers: int | None, cores: int, devices: tuple[str, ...] = (), *, at_most: int | None = None
) -> Crew:
    """Divide ``cores`` among ``workers``.

    Args:
        workers: number of workers; default: one per GPU, else one per core.
        cores: number of cores that this process may use.
        devices: the GPUs; workers share them in turn.
        at_most: largest number of threads per worker; default: its share of the cores.

    Raises:
        KdzooError: more workers than cores. Two processes of two threads on two cores are ten times slower
            than two of one.
    """
    count = workers or min(len(devices) or cores, cores)
    if count > cores:
        raise KdzooError(f"--workers {count}: this machine has {cores} cores for it; at most {cores}")
    seen = tuple(devices[number % len(devices)] if devices else None for number in range(count))
    share = cores // count
    return Crew(min(share, at_most) if at_most else share, seen)


def thread_limit() -> int | None:
    """The number of threads in the user's ``OMP_NUM_THREADS``; None if it is not set."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdecimal() and int(said) else None


def available_gpus() -> tuple[str, ...]:
    """The GPUs that torch finds, as names for ``CUDA_VISIBLE_DEVICES``."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return tuple(named.split(",")[:count]) if named else tuple(map(str, range(count)))
