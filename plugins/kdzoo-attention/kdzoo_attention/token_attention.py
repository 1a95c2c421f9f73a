"""Probes for the self-attention of timm's transformers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from kdzoo.api import KdzooError, Probe
from kdzoo_attention.functional import value_relations


@dataclass(frozen=True)
class AttentionWeights(Probe):
    """Keeps, for each block, its (B, A, N, N) attention weights and those between patches only.

    The second is a view of the first without the rows and columns of class and register tokens; with such
    tokens, its rows sum to less than 1. While the probe is attached, timm's fused attention is off, since it
    never materialises the weights.

    Attributes:
        blocks: the attention modules, counted from the last, -1, shallow to deep.
    """

    blocks: tuple[int, ...] = (-1,)

    def attach(self, model: nn.Module, keep: Callable[[Tensor], None]) -> Sequence[RemovableHandle]:
        """Read the input of the dropout on the weights.

        Raises:
            KdzooError: the model has no such blocks.
        """
        prefix = _prefix(model)

        def read(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            keep(inputs[0])
            keep(inputs[0][:, :, prefix:, prefix:])

        attending = _attending(model, self.blocks)
        handles = [module.attn_drop.register_forward_pre_hook(read) for module in attending]
        return [_Unfused(attending), *handles]


@dataclass(frozen=True)
class ValueRelations(Probe):
    """Keeps, for each block, the (B, A, N, N) relations between its values and those between patches only.

    Attributes:
        blocks: the attention modules, counted from the last, -1, shallow to deep.
    """

    blocks: tuple[int, ...] = (-1,)

    def attach(self, model: nn.Module, keep: Callable[[Tensor], None]) -> Sequence[RemovableHandle]:
        """Read the last third of the output of the layer for queries, keys and values.

        Raises:
            KdzooError: the model has no such blocks, or no joint layer for queries, keys and values.
        """
        prefix = _prefix(model)
        handles = []
        for module in _attending(model, self.blocks):
            if not isinstance(getattr(module, "qkv", None), nn.Linear):
                raise KdzooError(
                    f"knowledge 'vit-attention': a {type(model).__name__} has no joint layer for queries, keys and "
                    "values to read values from; set knowledge.value_weight=0"
                )

            def read(_: nn.Module, __: object, output: Tensor, heads: int = module.num_heads) -> None:
                values = output.chunk(3, dim=-1)[2]
                values = values.reshape(*values.shape[:-1], heads, -1).transpose(-3, -2)
                with torch.autocast(values.device.type, enabled=False):
                    relations = value_relations(values)
                keep(relations)
                keep(relations[:, :, prefix:, prefix:])

            handles.append(module.qkv.register_forward_hook(read))
        return handles


class _Unfused(RemovableHandle):
    """Switches fused attention off until it is removed."""

    def __init__(self, attending: Sequence[Any]) -> None:
        super().__init__(OrderedDict())
        self._before = [(module, module.fused_attn) for module in attending]
        for module in attending:
            module.fused_attn = False

    def remove(self) -> None:
        super().remove()
        for module, before in self._before:
            module.fused_attn = before


def _attending(model: nn.Module, blocks: tuple[int, ...]) -> list[Any]:
    found = [
        module
        for module in model.modules()
        if hasattr(module, "fused_attn") and isinstance(getattr(module, "attn_drop", None), nn.Module)
    ]
    if not found:
        raise KdzooError(
            f"knowledge 'vit-attention' needs self-attention, and {type(model).__name__} has none that can be "
            "read; take vision transformers for both roles, or knowledge 'at'"
        )
    if min(blocks) < -len(found):
        raise KdzooError(
            f"knowledge 'vit-attention': a {type(model).__name__} of {len(found)} blocks has no block {min(blocks)}; "
            "set knowledge.blocks or knowledge.teacher_blocks"
        )
    return [found[block] for block in blocks]


def _prefix(model: nn.Module) -> int:
    return int(getattr(model, "num_prefix_tokens", 0))
