"""What BatchNorm layers see, beside what they remember of their training."""

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
    """One BatchNorm layer and one batch.

    Attributes:
        mean: (C,) of the batch at the layer's input, over samples and positions; has a graph.
        var: (C,) the same, biased.
        running_mean: (C,) what the layer remembers of its training; a constant.
        running_var: (C,) the same.

    """

    mean: Tensor
    var: Tensor
    running_mean: Tensor
    running_var: Tensor


class BatchNormStatistics:
    """Reads the inputs of every BatchNorm layer of a module by forward hooks, while asked to.

    Args:
        module: any module, such as the backbone of a teacher. Nothing is changed in it.
        name: what it is called in an error, such as ``teacher 'test_vit'``.
        needed_by: who needs the statistics, such as ``algorithm 'deepinversion'``.
        instead: what to take where there are none; ends the error's sentence.

    Raises:
        KdzooError: the module has no BatchNorm layer that kept running statistics.

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
        """Inside the block each pass of the module fills the list, in the order of the layers' passes.

        Pass a batch that was not seen before through ``run.see``: an answer that is remembered passes no layer.
        Where a layer is passed twice its moments stand in the list twice.
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
