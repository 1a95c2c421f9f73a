"""Statistics of a batch at BatchNorm layers, together with their running statistics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from kdzoo.api import KdzooError
from kdzoo_data_free.functional.statistics import channel_moments


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of one batch at one BatchNorm layer.

    Attributes:
        mean: (C,), of the batch at the layer's input, over samples and positions; with gradient.
        var: (C,), the biased variance.
        running_mean: (C,), the layer's running mean; a constant.
        running_var: (C,), the layer's running variance.

    """

    mean: Tensor
    var: Tensor
    running_mean: Tensor
    running_var: Tensor


class BatchNormStatistics:
    """Records the moments at every BatchNorm layer of a module with forward hooks, inside :meth:`reading`.

    Args:
        module: any module, such as the backbone of a teacher. It is not changed.
        name: its name in errors, such as ``teacher 'test_vit'``.
        needed_by: what needs the statistics, such as ``algorithm 'deepinversion'``.
        instead: the remedy if there are none; ends the error's sentence.

    Raises:
        KdzooError: the module has no BatchNorm layer with running statistics.

    """

    def __init__(self, module: nn.Module, *, name: str, needed_by: str, instead: str) -> None:
        self.layers = [
            one for one in module.modules() if isinstance(one, _BatchNorm) and one.running_mean is not None
        ]
        if not self.layers:
            raise KdzooError(
                f"{needed_by} compares images with what the BatchNorm layers of the teacher remember, and {name} "
                f"has no BatchNorm with running statistics: {instead}"
            )

    @contextmanager
    def reading(self) -> Iterator[list[Moments]]:
        """Inside the block, each forward pass of the module fills the list, in the order of the layers' calls.

        With ``run.see`` use a new batch: a cached output calls no layer. A layer that is called twice has two
        entries.
        """
        found: list[Moments] = []

        def read(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            assert isinstance(layer, _BatchNorm)
            assert layer.running_mean is not None
            assert layer.running_var is not None
            mean, var = channel_moments(inputs[0])
            found.append(Moments(mean, var, layer.running_mean, layer.running_var))

        handles = [layer.register_forward_pre_hook(read) for layer in self.layers]
        try:
            yield found
        finally:
            for handle in handles:
                handle.remove()
