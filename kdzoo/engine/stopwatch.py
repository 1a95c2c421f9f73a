"""Seconds that a device computes, without making its host wait."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

Seconds = Callable[[], float]
"""The seconds that were measured; asking waits until the device has done its work."""


def start(device: torch.device) -> Callable[[], Seconds]:
    """Start to measure; the returned function stops."""
    if device.type != "cuda":
        begun = time.perf_counter()

        def stop() -> Seconds:
            taken = time.perf_counter() - begun
            return lambda: taken

        return stop
    first = _now(device)

    def stop_on_device() -> Seconds:
        last = _now(device)

        def taken() -> float:
            last.synchronize()
            return float(first.elapsed_time(last)) / 1000

        return taken

    return stop_on_device


def _now(device: torch.device) -> torch.cuda.Event:
    """A mark in what the device has to do."""
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch gives it no type
    event.record(torch.cuda.current_stream(device))
    return event
