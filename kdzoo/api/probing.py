"""Probes, attached for one forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn

from kdzoo.api.probe import Probe


@contextmanager
def attached(probes: Sequence[Probe], model: nn.Module) -> Iterator[dict[Probe, list[Tensor]]]:
    """Collect what each probe keeps while the context is open."""
    kept: dict[Probe, list[Tensor]] = {probe: [] for probe in probes}
    with ExitStack() as handles:
        for probe in kept:
            for handle in probe.attach(model, kept[probe].append):
                handles.callback(handle.remove)
        yield kept
