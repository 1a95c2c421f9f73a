"""Statistics of a batch at a network's BatchNorm layers, together with their running statistics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from kdzoo.api import at_least_float32
from kdzoo_adversarial.functional.supplement import statistics_distance


class Watched:
    """The statistics of one forward pass.

    Attributes:
        means: for each layer, those of the batch and the running ones, each (C,).
        variances: the same for biased variances.

    """

    def __init__(self) -> None:
        self.means: list[tuple[Tensor, Tensor]] = []
        self.variances: list[tuple[Tensor, Tensor]] = []

    def distance(self) -> Tensor:
        """See :func:`kdzoo_adversarial.functional.statistics_distance`."""
        return statistics_distance(self.means, self.variances)


def has_statistics(module: nn.Module) -> bool:
    """Whether any BatchNorm layer has running statistics."""
    return bool(_layers(module))


@contextmanager
def watching(module: nn.Module) -> Iterator[Watched]:
    """Record the statistics of each BatchNorm layer's input inside the block, with gradient."""
    watched = Watched()

    def read(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(layer, _BatchNorm)
        assert layer.running_mean is not None
        assert layer.running_var is not None
        maps = at_least_float32(inputs[0])
        over = [dimension for dimension in range(maps.ndim) if dimension != 1]
        watched.means.append((maps.mean(dim=over), layer.running_mean))
        watched.variances.append((maps.var(dim=over, correction=0), layer.running_var))

    handles = [layer.register_forward_pre_hook(read) for layer in _layers(module)]
    try:
        yield watched
    finally:
        for handle in handles:
            handle.remove()


def _layers(module: nn.Module) -> list[nn.Module]:
    return [one for one in module.modules() if isinstance(one, _BatchNorm) and one.running_mean is not None]
