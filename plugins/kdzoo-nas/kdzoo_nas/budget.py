"""Bounds on the cost of an architecture."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from kdzoo.api import Backbone, KdzooError
from kdzoo_nas.space import Architecture
from kdzoo_nas.supernet import Builder

_RUNS, _WARM_UPS = 11, 3


def latency(network: Backbone, device: torch.device) -> float:
    """Median milliseconds of a forward pass of one image in eval mode, measured on this device."""
    height, width = network.input_size
    image = torch.zeros(1, network.channels, height, width, device=device)
    network.eval()
    wait: Callable[[], None] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    times = []
    with torch.no_grad():
        for _ in range(_WARM_UPS + _RUNS):
            wait()
            started = time.perf_counter()
            network(image)
            wait()
            times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times[_WARM_UPS:])


@dataclass
class Budget:
    """Bounds on an architecture's parameters and latency.

    Attributes:
        builder: builds the architectures.
        most_parameters: None is no bound.
        most_milliseconds: for one image on ``device``; None is no bound, and nothing is measured.
        device: the device of the measurement.
        measured: milliseconds of each architecture, measured once.

    """

    builder: Builder
    most_parameters: float | None
    most_milliseconds: float | None
    device: torch.device
    measured: dict[Architecture, float] = field(default_factory=dict)

    def cost(self, architecture: Architecture) -> float:
        """Milliseconds if they are bounded, else the number of parameters."""
        if self.most_milliseconds is None:
            return self.builder.parameters(architecture)
        if architecture not in self.measured:
            self.measured[architecture] = latency(self.builder.build("candidate", architecture), self.device)
        return self.measured[architecture]

    @property
    def unit(self) -> str:
        """The unit of :meth:`cost`."""
        return "parameters" if self.most_milliseconds is None else f"milliseconds on {self.device.type}"

    def allows(self, architecture: Architecture) -> bool:
        """Whether the architecture is within both bounds."""
        return (
            self.most_parameters is None or self.builder.parameters(architecture) <= self.most_parameters
        ) and (self.most_milliseconds is None or self.cost(architecture) <= self.most_milliseconds)


def budget(
    builder: Builder, max_params: float | None, max_latency: float | None, device: torch.device
) -> Budget:
    """The budget of an algorithm's settings.

    Args:
        builder: builds the architectures.
        max_params: up to 1 a fraction of the largest architecture's parameters, above that their number.
        max_latency: milliseconds.
        device: the run's device.

    Raises:
        KdzooError: not even the smallest architecture is within them.

    """
    largest, smallest = (builder.parameters(one) for one in (builder.space.largest, builder.space.smallest))
    most = max_params * largest if max_params is not None and max_params <= 1 else max_params
    if most is not None and smallest > most:
        raise KdzooError(
            f"no architecture has at most {most:,.0f} parameters: the smallest has {smallest:,}, the largest "
            f"{largest:,}; raise algorithm.max_params or give algorithm.widths a smaller factor"
        )
    bounds = Budget(builder, most, max_latency, device)
    if not bounds.allows(builder.space.smallest):
        raise KdzooError(
            f"the smallest architecture takes {bounds.cost(builder.space.smallest):.3g} ms for an image on "
            f"{device.type}: raise algorithm.max_latency or give algorithm.widths a smaller factor"
        )
    return bounds
