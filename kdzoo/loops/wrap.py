"""Networks that are not timm's, with the interface of those that are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from kdzoo.api.modes import evaluating
from kdzoo.api.network import is_timm
from kdzoo.errors import KdzooError
from kdzoo.zoo.plugin import first_line

_MAP, _TOKENS = 4, 3
"""Dimensions of (B, C, h, w) or (B, h, w, C), and of (B, tokens, C)."""


def wrap(
    model: nn.Module,
    *,
    stages: Sequence[str] = (),
    embedding: str | None = None,
    num_classes: int | None = None,
    input_size: tuple[int, int, int] = (3, 224, 224),
    mean: Sequence[float] = IMAGENET_DEFAULT_MEAN,
    std: Sequence[float] = IMAGENET_DEFAULT_STD,
) -> Wrapped:
    """A network of torchvision, of Hugging Face or of your own, as teacher or student of a :class:`kdzoo.Distiller`.

    Its weights stay in ``model``, which is trained in place. It is called with (B, C, H, W) images and answers with
    logits (B, K), or with an object that has them as ``.logits``.

    Args:
        model: the network.
        stages: names of the modules whose outputs are its stages, shallow to deep, as in ``model.named_modules()``:
            ``["layer1", "layer2", "layer3", "layer4"]`` of torchvision's ResNets. An output is a map (B, C, h, w) or
            (B, h, w, C), or tokens (B, n, C) of a square grid, or a tuple that begins with one of these. Methods that
            read features need them.
        embedding: name of the classifier, whose input (B, D) is the embedding, such as ``"fc"``; default: its only
            linear layer with K outputs.
        num_classes: 0 for a network without a classifier, whose answer (B, D) or ``.pooler_output`` is the embedding;
            default: as many as it answers with.
        input_size: (C, H, W) of the images.
        mean: of each channel, in the normalisation that it was trained with.
        std: of each channel, likewise.

    Raises:
        KdzooError: a stage or the classifier is not there or has another form, or the network answers with no logits.
    """
    config = {"architecture": type(model).__name__, "input_size": tuple(input_size), "mean": mean, "std": std}
    found = Wrapped(model, stages, config)
    example = torch.zeros(2, *input_size)
    first = next(model.parameters(), None)
    with evaluating(model), torch.no_grad():
        found.look(example if first is None else example.to(first), num_classes, embedding)
    return found


def as_timm(model: nn.Module, example: Tensor | None) -> nn.Module:
    """The model itself if kdzoo knows its interface, else wrapped without stages.

    Args:
        model: any network.
        example: images for it.

    Raises:
        KdzooError: without an example its classes are not known; or it is no image classifier.
    """
    if is_timm(model):
        return model
    if example is None:
        raise KdzooError(
            f"{type(model).__name__} is not a timm model: pass example=images, or kdzoo.wrap(model, stages=[...]) in "
            "its place, where methods that read its features need the stages"
        )
    _, channels, height, width = example.shape
    return wrap(model, input_size=(channels, height, width))


@dataclass(frozen=True)
class Seen:
    """What one forward pass of a wrapped network gave.

    Attributes:
        answer: its logits (B, K); without a classifier its embedding (B, D).
        last_map: (B, C, h, w) of its deepest stage; None without stages.
    """

    answer: Tensor
    last_map: Tensor | None


class Wrapped(nn.Module):
    """A network with the attributes and methods of timm's models that kdzoo reads; made by :func:`wrap`.

    Attributes:
        model: the network itself.
        num_classes: K; 0 without a classifier.
    """

    def __init__(self, model: nn.Module, stages: Sequence[str], config: dict[str, Any]) -> None:
        super().__init__()
        self.model = model
        self.pretrained_cfg = config
        self.num_classes = 0
        self.feature_info: list[dict[str, Any]] = []
        self._stages = tuple(stages)
        for name in self._stages:
            self._part(name)
        self._classifier: str | None = None

    def forward(self, image: Tensor) -> Tensor:
        """The logits (B, K), or the embedding (B, D) without a classifier."""
        answer = self.model(image)
        if not isinstance(answer, Tensor):
            named = (getattr(answer, name, None) for name in ("logits", "pooler_output"))
            answer = next((one for one in named if one is not None), answer)
        if not isinstance(answer, Tensor) or answer.flatten(1).shape != answer.shape[:2]:
            what = tuple(answer.shape) if isinstance(answer, Tensor) else f"a {type(answer).__name__}"
            raise KdzooError(
                f"{type(self.model).__name__} answers {len(image)} images with {what} where logits (B, K) are needed"
            )
        return answer.flatten(1)

    def look(self, example: Tensor, num_classes: int | None, embedding: str | None) -> None:
        """Find classes, stages and classifier by answering two images.

        Raises:
            KdzooError: see :func:`wrap`.
        """
        who = type(self.model).__name__
        size = tuple(example.shape[1:])
        try:
            seen, maps = self.forward_intermediates(example, range(len(self._stages)))
        except KdzooError:
            raise
        except Exception as error:
            raise KdzooError(f"{who} cannot take images of {size}: {first_line(error)}") from error
        if num_classes not in (None, 0, seen.answer.shape[1]):
            raise KdzooError(f"{who} answers with {seen.answer.shape[1]} logits, not {num_classes}")
        self.num_classes = seen.answer.shape[1] if num_classes is None else num_classes
        self.feature_info = [
            {"num_chs": one.shape[1], "reduction": max(1, round(size[-1] / one.shape[-1])), "module": name}
            for name, one in zip(self._stages, maps, strict=True)
        ]
        if embedding is not None:
            self._part(embedding)
        linear = [
            name
            for name, part in self.model.named_modules()
            if isinstance(part, nn.Linear) and part.out_features == self.num_classes
        ]
        self._classifier = embedding or (linear[0] if len(linear) == 1 else None)

    def forward_intermediates(
        self, image: Tensor, indices: Sequence[int], output_fmt: str = "NCHW"
    ) -> tuple[Seen, list[Tensor]]:
        """The answer, and the maps (B, C, h, w) of these stages; as in timm."""
        kept: dict[int, Tensor] = {}
        wanted = [index % len(self._stages) for index in indices]
        with ExitStack() as hooks:
            for number in {*wanted, *range(len(self._stages))[-1:]}:
                hook = self._part(self._stages[number]).register_forward_hook(
                    partial(self._keep, kept, number)
                )
                hooks.callback(hook.remove)
            answer = self(image)
        for number in {*wanted} - {*kept}:
            raise KdzooError(f"stage {self._stages[number]!r} of {type(self.model).__name__} was not called")
        return Seen(answer, kept.get(len(self._stages) - 1)), [kept[number] for number in wanted]

    def forward_features(self, image: Tensor) -> Seen:
        """What :meth:`forward_head` reads."""
        return self.forward_intermediates(image, ())[0]

    def forward_head(self, seen: Seen, pre_logits: bool = False) -> Tensor:
        """The logits, or without a classifier the embedding.

        Raises:
            TypeError: of a tensor: what the network computes from a map is not known.
        """
        if not isinstance(seen, Seen):
            raise TypeError("a wrapped network has no head of its own")
        return seen.answer

    def get_classifier(self) -> nn.Module:
        """The module whose input is the embedding.

        Raises:
            KdzooError: it is not known.
        """
        if self._classifier is None:
            raise KdzooError(
                f"{type(self.model).__name__}: its classifier is not known, whose input is the embedding; name it: "
                'kdzoo.wrap(model, embedding="fc")'
            )
        return self._part(self._classifier)

    def _part(self, name: str) -> nn.Module:
        try:
            return self.model.get_submodule(name)
        except AttributeError:
            known = ", ".join(name for name, _ in self.model.named_children())
            raise KdzooError(f"{type(self.model).__name__} has no module {name!r}; it has {known}") from None

    def _keep(self, kept: dict[int, Tensor], number: int, _: nn.Module, inputs: Any, output: Any) -> None:
        kept[number] = _as_map(output, self._stages[number])


def _as_map(output: Any, name: str) -> Tensor:
    """(B, C, h, w) from what a stage returned."""
    while isinstance(output, tuple | list) and output:
        output = output[0]
    if not isinstance(output, Tensor):
        output = getattr(output, "last_hidden_state", output)
    if isinstance(output, Tensor) and output.ndim == _MAP:
        rows, columns, depth = output.shape[1:]
        return output.permute(0, 3, 1, 2) if rows == columns != depth else output
    if isinstance(output, Tensor) and output.ndim == _TOKENS:
        side = math.isqrt(output.shape[1])  # class and register tokens come first
        patches = output[:, output.shape[1] - side * side :]
        return patches.transpose(1, 2).reshape(len(output), -1, side, side)
    what = tuple(output.shape) if isinstance(output, Tensor) else f"a {type(output).__name__}"
    raise KdzooError(f"stage {name!r} returns {what} where a map (B, C, h, w) or tokens (B, n, C) are needed")
