"""A timm model from images in [0, 1] to an Output, with or without a classifier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

import torch
from timm.models import get_model_input_config
from torch import Tensor, nn
from torch.nn import functional

from kdzoo.api.batch import Output
from kdzoo.api.classifier import find_classifiers, find_heads, read_inputs
from kdzoo.api.last_map import as_map
from kdzoo.api.modes import evaluating
from kdzoo.api.probe import Probe, attached
from kdzoo.errors import KdzooError

_AFTER_THE_LAST_STAGE = ((), ("final_conv",), ("conv_head", "bn2"))
"""What timm's convolutional families compute between their last stage and ``forward_head``."""


class Backbone(nn.Module):
    """A timm model behind one interface: logits, stages and embedding from images in [0, 1].

    The keys of its ``state_dict`` are the timm model's, each with the prefix ``model.``.

    Args:
        model: a timm model; made with ``num_classes=0`` it has no classifier, and its Output no logits.
        input_size: (height, width) in pixels of the model's input; other images are resized to it.
        label_names: the class names in the order of the logits, if known.

    Raises:
        KdzooError: (here) it is not a timm model.

    Attributes:
        model: the timm model itself.
        name: timm's name of its architecture.
        input_size: (height, width) in pixels.
        channels: number of input channels.
        num_classes: K, the number of logits; 0 without a classifier.
        num_stages: number of stages that ``forward`` can return; 0 if none.
        label_names: the class names, or None.
        mean: (1, C, 1, 1), subtracted from the image in [0, 1].
        std: (1, C, 1, 1), divides the result.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, model: nn.Module, *, input_size: tuple[int, int], label_names: Sequence[str] | None = None
    ) -> None:
        super().__init__()
        check_timm(model)
        # Any: the methods and attributes of timm models are not declared on nn.Module.
        self.model = cast(Any, model)
        cfg = self.model.pretrained_cfg
        self.name: str = cfg["architecture"]
        self.input_size = input_size
        self.channels: int = get_model_input_config(model)["input_size"][0]
        self.num_classes: int = self.model.num_classes
        shows = hasattr(model, "forward_intermediates") and hasattr(model, "forward_head")
        self.num_stages = len(getattr(model, "feature_info", ())) if shows else 0
        self.label_names = None if label_names is None else tuple(label_names)
        self.register_buffer("mean", _per_channel(cfg["mean"], self.channels), persistent=False)
        self.register_buffer("std", _per_channel(cfg["std"], self.channels), persistent=False)
        self._head: tuple[str, ...] | None = None
        self._frozen_body = False
        if not self.num_classes and not hasattr(model, "forward_head"):
            raise KdzooError(
                f"model {self.name!r} has no forward_head, so it cannot be used without a classifier"
            )
        # timm's relative-position models keep the biases that they computed in eval mode and do not notice
        # when the parameters change, by loading or by an average that is updated in place.
        self._remembering: list[Any] = [
            module for module in model.modules() if hasattr(module, "attention_bias_cache")
        ]

    @property
    def classifier(self) -> nn.Module:
        """The module that turns the embedding into logits: it reads (B, D), or (B, D, 1, 1) if a convolution.

        Raises:
            KdzooError: the model adds up several classifiers.
        """
        found = find_classifiers(self.model)
        if not self.num_classes:
            raise KdzooError(f"model {self.name!r} is used without a classifier, so none can be borrowed")
        if len(found) != 1:
            raise KdzooError(
                f"model {self.name!r} adds up {len(found)} classifiers, so none of them can be borrowed; "
                "take a model with one"
            )
        return found[0]

    def normalise(self, mean: Sequence[float] | None = None, std: Sequence[float] | None = None) -> None:
        """Take other values for :attr:`mean` and :attr:`std`: one for each channel, or one for all."""
        for name, values in (("mean", mean), ("std", std)):
            if values is None:
                continue
            if len(values) not in (1, self.channels):
                raise KdzooError(
                    f"{name} has {len(values)} numbers; model {self.name!r} reads {self.channels} channels"
                )
            getattr(self, name).copy_(_per_channel(values, self.channels))

    def train_head_only(self, only: bool = True) -> None:
        """Train nothing but the classifier from now on: the rest stays in eval mode and without gradients.

        It holds for later calls of ``train`` and ``requires_grad_``; ``only=False`` ends it.

        Raises:
            KdzooError: there is no classifier.
        """
        if only and not self.num_classes:
            raise KdzooError(f"model {self.name!r} has no classifier, so there is no head to train")
        self._frozen_body = only
        self.requires_grad_(True)
        self.train(self.training)

    def train(self, mode: bool = True) -> Backbone:
        """Train or eval mode; the body of a network whose head alone is trained stays in eval mode."""
        super().train(mode)
        if self._frozen_body:
            self.model.eval()
            for head in find_heads(self.model):
                head.train(mode)
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Backbone:
        """Of every parameter, or of the classifier's where the head alone is trained."""
        super().requires_grad_(requires_grad and not self._frozen_body)
        if self._frozen_body:
            for head in find_heads(self.model):
                head.requires_grad_(requires_grad)
        return self

    def forward(
        self,
        image: Tensor,
        stages: tuple[int, ...] = (),
        embedding: bool = False,
        probes: tuple[Probe, ...] = (),
    ) -> Output:
        """The output for a batch of images.

        Args:
            image: (B, C, H, W) float in [0, 1], of any size.
            stages: negative numbers, -1 = the deepest; 0 = the last map, behind all stages, see
                :class:`kdzoo.api.Taps`. Nothing else is computed or kept.
            embedding: whether to return the input of the classifier; in train mode that is after its dropout.
            probes: further values to read inside the model.

        Returns:
            logits (B, K), or none without a classifier; one feature map (B, C, H, W) for each stage, shallow to deep;
            the embedding (B, D), of all branches joined if the model has several, or None; the tensors of each
            probe. Without a classifier, the embedding is ``forward_head(forward_features(image), pre_logits=True)``,
            and always there.

        Raises:
            KdzooError: the model lacks these stages, or its classifier does not read a vector.
        """
        if stages:
            self._require(stages)
        for module in () if self.training else self._remembering:
            module.attention_bias_cache = {}
        if probes:
            with attached(probes, self.model) as extras:
                output = self.forward(image, stages, embedding)
            kept = {probe: tuple(tensors) for probe, tensors in extras.items()}
            return output.showing(output.features, output.embedding, kept)
        if not embedding or not self.num_classes:
            return self._answer(image, stages)
        with read_inputs(find_classifiers(self.model)) as read:
            return self._answer(image, stages, read)

    def head(self, feature: Tensor) -> Tensor:
        """Logits from a map of stage -1: what the model computes after its last stage.

        Args:
            feature: (B, C, H, W) with the channels of stage -1, of any height and width.

        Returns:
            (B, K).

        Raises:
            KdzooError: the model's computation between its last stage and its logits is not known.
        """
        if self._head is None:
            self._head = self._find_head()
        return self._from_last_stage(feature, self._head)

    def _from_last_stage(self, feature: Tensor, steps: tuple[str, ...]) -> Tensor:
        for step in steps:
            feature = getattr(self.model, step)(feature)
        logits: Tensor = self.model.forward_head(feature)
        return logits

    def _find_head(self) -> tuple[str, ...]:
        """The modules between the last stage and ``forward_head`` with which this model's own logits come out."""
        shape = (2, self.channels, *self.input_size)
        image = torch.linspace(0, 1, math.prod(shape), device=next(self.model.parameters()).device).view(
            shape
        )
        with evaluating(self.model), torch.no_grad():
            own = self.forward(image, (-1,))
            for steps in _AFTER_THE_LAST_STAGE:
                if not all(hasattr(self.model, step) for step in steps):
                    continue
                with suppress(RuntimeError, ValueError, TypeError):
                    logits = self._from_last_stage(own.features[0], steps)
                    if torch.allclose(logits, own.logits, atol=1e-5):
                        return steps
        raise KdzooError(
            f"model {self.name!r}: its logits do not follow from the map of its last stage alone, so its "
            "classifier cannot be borrowed; take a convolutional network such as a ResNet"
        )

    def _answer(self, image: Tensor, stages: tuple[int, ...], read: list[Tensor] | None = None) -> Output:
        """Everything that torch.compile sees as one graph; the hooks that fill ``read`` are set outside of it."""
        image = self.prepare(image)
        features: list[Tensor] = []
        inner = [stage for stage in stages if stage]
        if inner:
            deepest, features = self.model.forward_intermediates(image, indices=inner, output_fmt="NCHW")
        elif stages or not self.num_classes:
            deepest = self.model.forward_features(image)
        if 0 in stages:
            features = [*features, as_map(self.model, deepest, self.input_size)]
        if not self.num_classes:
            return Output(None, tuple(features), self._pooled(deepest))
        if stages:
            logits = self.model.forward_head(deepest)
        else:
            logits = self.model(image)
            if not isinstance(logits, Tensor):
                raise KdzooError(
                    f"model {self.name!r} answers with a {type(logits).__name__} of {len(logits)} where logits are "
                    "needed; a distilled DeiT does so after set_distilled_training(True)"
                )
        return Output(logits, tuple(features), None if read is None else self._embedding(read))

    def _pooled(self, features: Any) -> Tensor:
        embedding = self.model.forward_head(features, pre_logits=True)
        if not isinstance(embedding, Tensor) or embedding.flatten(1).shape != embedding.shape[:2]:
            shape = (
                tuple(embedding.shape) if isinstance(embedding, Tensor) else f"a {type(embedding).__name__}"
            )
            raise KdzooError(
                f"model {self.name!r} has no embedding without its classifier: forward_head returns {shape} where "
                "one vector per sample is needed; check the role's kwargs, such as global_pool"
            )
        return embedding.flatten(1)

    def _embedding(self, read: list[Tensor]) -> Tensor:
        classifiers = find_classifiers(self.model)
        if len(read) != len(classifiers) or any(
            vector.flatten(1).shape != vector.shape[:2] for vector in read
        ):
            shapes = ", ".join(str(tuple(vector.shape)) for vector in read) or "nothing"
            raise KdzooError(
                f"model {self.name!r} has no embedding: its classifier {type(classifiers[0]).__name__} reads "
                f"{shapes} where one vector per sample is needed; use knowledge that does not read the embedding"
            )
        return torch.cat([vector.flatten(1) for vector in read], dim=1)

    def prepare(self, image: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] as the timm model itself takes them: resized and normalised."""
        height, width = self.input_size
        # As Pillow, and so timm's own transforms, do it: across, then down, and never out of [0, 1] in between.
        for size in ((image.shape[-2], width), (height, width)):
            if image.shape[-2:] != size:
                image = functional.interpolate(image, size, mode="bicubic", antialias=True).clamp(0, 1)
        return (image - self.mean).div_(self.std)

    def _require(self, stages: tuple[int, ...]) -> None:
        if not self.num_stages:
            raise KdzooError(
                f"model {self.name!r} shows no stages (it has no forward_intermediates): take another model, or "
                "knowledge that reads logits or the embedding only; kdzoo.wrap(model, stages=[...]) names them"
            )
        if min(stages) < -self.num_stages or max(stages) > 0:
            raise KdzooError(
                f"model {self.name!r} has {self.num_stages} stages, -{self.num_stages} to -1 (the deepest), and its "
                "last map, 0; "
                f"asked for {', '.join(map(str, stages))}"
            )


def is_timm(model: nn.Module) -> bool:
    """Whether a network states its classes, its input and its normalisation as timm's do."""
    return hasattr(model, "pretrained_cfg") and hasattr(model, "num_classes")


def check_timm(model: nn.Module) -> None:
    """Refuse a network that is not timm's.

    Raises:
        KdzooError: names its class.
    """
    if not is_timm(model):
        raise KdzooError(
            f"{type(model).__name__} is not a timm model: make it with timm.create_model, which knows its classes, "
            "its input and its normalisation, or wrap it: kdzoo.wrap(model, stages=[...])"
        )


def _per_channel(values: Sequence[float], channels: int) -> Tensor:
    """(1, channels, 1, 1); values for another number of channels are averaged, as timm's own loaders do."""
    if len(values) != channels:
        values = [sum(values) / len(values)] * channels
    return torch.tensor(values, dtype=torch.float32).reshape(1, channels, 1, 1)
