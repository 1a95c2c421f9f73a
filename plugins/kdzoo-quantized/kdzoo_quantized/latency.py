"""Latency of networks, measured alternately."""

from __future__ import annotations

import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median

import torch
from torch import Tensor, nn

Network = Callable[[Tensor], Tensor]

_WARM_UP = 5


def milliseconds(
    networks: Mapping[str, nn.Module],
    image_shape: tuple[int, int, int],
    batch_sizes: Sequence[int],
    *,
    runs: int,
    compiled: bool,
) -> dict[tuple[str, int], float]:
    """Median time of one forward pass on one thread of the CPU, after a warm-up.

    The networks alternate, so that other load on the machine affects them equally.

    Args:
        networks: name -> a network on the CPU in eval mode, from images to logits.
        image_shape: (C, H, W) of the images.
        batch_sizes: numbers of images per batch.
        runs: number of passes for the median.
        compiled: compile with inductor and frozen weights; else run eagerly.

    Returns:
        (name, batch size) -> milliseconds for a batch.

    """
    taken: dict[tuple[str, int], list[float]] = {}
    with ExitStack() as stack:
        stack.enter_context(_one_thread())
        stack.enter_context(torch.no_grad())
        if compiled:
            stack.enter_context(_frozen())
        for size in batch_sizes:
            draw = torch.Generator().manual_seed(size)
            images = torch.rand(size, *image_shape, generator=draw, device="cpu")
            ready = {
                name: torch.compile(network, dynamic=False) if compiled else network
                for name, network in networks.items()
            }
            for network in ready.values():
                for _ in range(_WARM_UP):
                    network(images)
            for _ in range(runs):
                for name, network in ready.items():
                    started = time.perf_counter()
                    network(images)
                    taken.setdefault((name, size), []).append(1000 * (time.perf_counter() - started))
    return {key: median(times) for key, times in taken.items()}


def has_compiler() -> bool:
    """Whether inductor's C++ compiler is installed."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++"))


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _frozen() -> Iterator[None]:
    """Inductor with weights as constants: only then are they packed for the processor's int8 instructions."""
    from torch._inductor import config

    with config.patch(freezing=True), warnings.catch_warnings():
        # torch 2.15's own lowering of a quantized convolution copies a zero point in a way that it warns of.
        warnings.filterwarnings("ignore", "To copy construct from a tensor", UserWarning)
        yield
