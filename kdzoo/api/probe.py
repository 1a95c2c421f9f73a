"""Values inside a timm model that no stage provides, read by forward hooks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


class Probe(ABC):
    """Reads tensors inside a timm model during one forward pass: pre-activations, attention weights.

    Subclass it as a frozen dataclass: probes are compared by value, and equal ones are attached once.
    A knowledge asks for probes in its taps and finds their tensors, in order, in ``output.extras[probe]``.
    """

    @abstractmethod
    def attach(self, model: nn.Module, keep: Callable[[Tensor], None]) -> Sequence[RemovableHandle]:
        """Set the hooks on a timm model; they are removed after the forward pass.

        Args:
            model: the timm model itself.
            keep: call it with each tensor, batch first; pass a clone if a later in-place operation would
                change the tensor.

        Raises:
            KdzooError: the model lacks the values to read; the message names the model's type.
        """


@contextmanager
def attached(probes: Sequence[Probe], model: nn.Module) -> Iterator[dict[Probe, list[Tensor]]]:
    """Collect the tensors of each probe while the context is open."""
    kept: dict[Probe, list[Tensor]] = {probe: [] for probe in probes}
    with ExitStack() as handles:
        for probe in kept:
            for handle in probe.attach(model, kept[probe].append):
                handles.callback(handle.remove)
        yield kept
