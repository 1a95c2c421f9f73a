"""The parts of a timm model that are quantized one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from kdzoo.api import Backbone, Probe, evaluating
from kdzoo_quantized.quantizers import ActivationQuantizer
from kdzoo_quantized.rounding import RoundingQuantizer


@dataclass(frozen=True)
class UnitOutput(Probe):
    """The output of a module of the model.

    Args:
        path: its name in the timm model.

    """

    path: str

    def attach(self, model: nn.Module, keep: Callable[[Tensor], None]) -> Sequence[RemovableHandle]:
        """Hook the module; its output is cloned, since activations may be computed in place."""

        def hook(_: nn.Module, __: object, output: Tensor) -> None:
            keep(output.clone())

        return [model.get_submodule(self.path).register_forward_hook(hook)]


def units_of(backbone: Backbone) -> list[str]:
    """The names of the modules with quantizers, in the order in which the network calls them.

    A unit is a block (any module that is not just a sequence or list of others), or a layer outside the
    blocks.

    Args:
        backbone: with quantizers; it is called once in eval mode, and not changed.

    """
    found = _below(backbone.model, "")
    order: list[str] = []
    handles = []
    for name in found:

        def hook(_: nn.Module, __: object, output: object, name: str = name) -> None:
            if isinstance(output, Tensor) and name not in order:
                order.append(name)

        handles.append(backbone.model.get_submodule(name).register_forward_hook(hook))
    device = next(backbone.parameters()).device
    try:
        with evaluating(backbone), torch.no_grad():
            backbone(torch.zeros(1, backbone.channels, *backbone.input_size, device=device))
    finally:
        for handle in handles:
            handle.remove()
    return order


def roundings(unit: nn.Module) -> list[RoundingQuantizer]:
    """The quantizers of a unit's weights."""
    return [module for module in unit.modules() if isinstance(module, RoundingQuantizer)]


def inputs(unit: nn.Module) -> list[ActivationQuantizer]:
    """The quantizers of the inputs of a unit's layers."""
    return [module for module in unit.modules() if isinstance(module, ActivationQuantizer)]


def _below(module: nn.Module, prefix: str) -> list[str]:
    names = []
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        if not (roundings(child) or inputs(child)):
            continue
        # Subclasses of Sequential, such as a classifier's head, are sequences too.
        names += _below(child, f"{path}.") if isinstance(child, nn.Sequential | nn.ModuleList) else [path]
    return names
