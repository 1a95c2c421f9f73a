"""What a network costs: its size, and the time of one answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from kdzoo.engine.sharded import is_sharded

if TYPE_CHECKING:
    from kdzoo.engine.run import TrainingRun

_MOST_RUNS = 20
_MOST_SECONDS = 0.1


def size(run: TrainingRun, role: str) -> dict[str, int]:
    """``size/ROLE/parameters``, ``.../bytes`` and ``.../multiply_adds`` of one image of the data's size.

    Bytes are those of parameters and buffers as they are in memory. Multiply-adds are half of the floating-point
    operations that torch counts: those of convolutions, matrix products and attention.
    """
    module = run.members[role].module
    # With a graph: without one, torch's counter fails on parameters that are arguments, such as a class token.
    with _asked(run, role) as image, torch.enable_grad(), FlopCounterMode(display=False) as counter:
        module(image)
    tensors = [*module.parameters(), *module.buffers()]
    return {
        f"size/{role}/parameters": sum(one.numel() for one in module.parameters()),
        f"size/{role}/bytes": sum(one.nbytes for one in tensors),
        f"size/{role}/multiply_adds": counter.get_total_flops() // 2,
    }


def latency(run: TrainingRun, role: str) -> dict[str, float]:
    """``latency/ROLE_ms``: milliseconds from an image on the run's device to its logits, in the run's precision.

    The median of at most 20 repetitions in about 0.1 s, uncompiled, after two that do not count. It depends on what
    else the machine does. Nothing of a sharded network, which waits for other processes.
    """
    if is_sharded(run.members[role].module):
        return {}
    module, seconds = run.members[role].module, []
    with _asked(run, role) as image:
        began = time.perf_counter()
        for _ in range(_MOST_RUNS + 2):
            seconds.append(_timed(module, image))
            if len(seconds) > 2 and time.perf_counter() - began > _MOST_SECONDS:
                break
    return {f"latency/{role}_ms": 1000.0 * median(seconds[2:])}


@contextmanager
def _asked(run: TrainingRun, role: str) -> Iterator[Tensor]:
    """A black image for ``role``, in eval mode, with nothing compiled for it."""
    side, channels = run.data.img_size, run.data.channels[run.members[role].modality]
    with run.measuring(), run.autocast(), torch.compiler.set_stance("force_eager"):
        yield torch.zeros(1, channels, side, side, device=run.device)


def _timed(module: nn.Module, image: Tensor) -> float:
    _wait(image.device)
    began = time.perf_counter()
    module(image)
    _wait(image.device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
