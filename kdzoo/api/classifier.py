"""The classifier of a timm model, and its input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


def find_classifiers(model: Any) -> list[nn.Module]:
    """The modules whose outputs make up the logits of a timm ``model``: one, unless it has several branches.

    Of a distilled model, which has one classifier for the labels and one for its teacher, the first counts.
    """
    head = model.get_classifier()
    if isinstance(head, tuple):
        head = head[0]
    branches = list(head) if isinstance(head, nn.ModuleList) else [head]
    # A head that pools before its linear layer `fc` reads a map; what the linear layer reads is the embedding.
    return [getattr(branch, "fc", branch) for branch in branches]


def find_heads(model: Any) -> list[nn.Module]:
    """Every module that turns features into logits, that of a distilled model's second classifier too."""
    head = model.get_classifier()
    heads = [one for one in (head if isinstance(head, tuple) else (head,)) if isinstance(one, nn.Module)]
    return [getattr(one, "fc", one) for one in heads]


@contextmanager
def read_inputs(modules: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """Collect the input of each of ``modules`` while the context is open, in the order of the calls."""
    read: list[Tensor] = []

    def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        read.append(inputs[0])

    handles = [module.register_forward_pre_hook(keep) for module in modules]
    try:
        yield read
    finally:
        for handle in handles:
            handle.remove()
