"""The seconds that a network takes for a picture, from a few timed steps on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from kdzoo.api import Output
from kdzoo.backbone import Backbone
from kdzoo.backbone.memory_format import to_channels_last
from kdzoo.compress.survey import Survey

_PICTURES = 16
_STEPS = 2
_LONG = 2.0
"""Seconds of a step after which it is not repeated."""


class Pace(NamedTuple):
    """Seconds for a picture: of a training step, and of an answer."""

    train: float
    answer: float


def pace_of(network: Backbone, survey: Survey, threads: int) -> Pace:
    """Train a network for a few steps on made pictures; its weights are spoilt by that.

    Args:
        network: on the CPU.
        survey: the size of the pictures and of a batch.
        threads: of a run.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    number = min(_PICTURES, survey.config.batch_size)
    images = torch.rand(number, network.channels, *network.input_size, device=device)
    to_channels_last(network.to(device))
    images = images.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-6)

    def step() -> None:
        optimizer.zero_grad()
        torch.autograd.backward(_shown(network, images).square().mean())
        optimizer.step()
        _wait(device)

    @torch.no_grad()
    def answer() -> None:
        _shown(network, images)
        _wait(device)

    with _threads(threads):
        train = _seconds(step) / number
        network.eval()
        return Pace(train, _seconds(answer) / number)


def views_pace(survey: Survey, threads: int) -> float:
    """Seconds for one view of a training picture; 0 where the pictures are read by other processes meanwhile."""
    if survey.data.streams:
        return 0.0
    rows = survey.data.train.split.index[: min(64, survey.train)]
    with _threads(threads):
        return _seconds(lambda: survey.data.fetch(rows, epoch=0)) / len(rows)


def _shown(network: Backbone, images: Tensor) -> Tensor:
    output: Output = network(images, embedding=not network.num_classes)
    return output.logits if network.num_classes else output.embedded


def _seconds(work: Callable[[], object]) -> float:
    """The fastest of a few repetitions, after one that does not count unless it takes long."""
    found: list[float] = []
    for _ in range(_STEPS + 1):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
        if found[-1] > _LONG:
            return min(found)
    return min(found[1:])


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
