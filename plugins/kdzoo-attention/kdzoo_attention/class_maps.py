"""A probe for class activation maps: the classifier applied at each position of the map before pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from kdzoo.api import KdzooError, Probe
from kdzoo_attention.functional import class_maps


@dataclass(frozen=True)
class ClassMaps(Probe):
    """Keeps (B, K, H, W) maps whose mean over height and width, with the bias, is the logits.

    It assumes that there is only dropout between pooling and classifier; :func:`require_class_maps` checks
    it.
    """

    def attach(self, model: nn.Module, keep: Callable[[Tensor], None]) -> Sequence[RemovableHandle]:
        """Read the input of the model's global pooling.

        Raises:
            KdzooError: the model has no linear classifier, or no module that pools a map.
        """
        timm_model: Any = model
        classifier = timm_model.get_classifier() if hasattr(model, "get_classifier") else None
        classifier = getattr(classifier, "fc", classifier)
        pool = _pooling(model)
        if (
            pool is None
            or not isinstance(classifier, nn.Linear | nn.Conv2d)
            or classifier.weight[0, 0].numel() != 1
        ):
            raise _refusal(model, "it has no linear classifier on an average-pooled map")
        weight = classifier.weight.flatten(1)

        def read(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            feature = inputs[0]
            if feature.ndim == 4 and feature.shape[1] != weight.shape[1] == feature.shape[3]:
                feature = feature.permute(0, 3, 1, 2)  # families that keep channels last
            if feature.ndim != 4 or feature.shape[1] != weight.shape[1]:
                raise _refusal(model, "more than a linear classifier follows its pooling")
            with torch.autocast(feature.device.type, enabled=False):
                keep(class_maps(feature, weight))

        return [pool.register_forward_pre_hook(read)]


def require_class_maps(side: str, maps: tuple[Tensor, ...], logits: Tensor) -> None:
    """Refuse maps whose average is not the logits, or that have only one pixel.

    Args:
        side: ``"student"`` or ``"teacher"``.
        maps: the maps from the probe.
        logits: (B, K), in eval mode.

    Raises:
        KdzooError: see above.
    """
    # The bias is the same for every sample, so it cancels in the difference of two.
    found = maps[0].mean(dim=(2, 3)) if len(maps) == 1 else None
    same = found is not None and found.shape == logits.shape
    if found is not None and same:
        rest = logits.float() - found.float()
        same = bool((rest - rest[:1]).abs().max() <= 0.02 * logits.float().abs().max() + 1e-4)
    if not same:
        raise KdzooError(
            f"knowledge 'catkd': the {side}'s logits are not the average of its class maps, because more than a "
            "linear classifier follows its pooling; take a network such as a ResNet or an EfficientNet, or "
            "knowledge 'at'"
        )
    if maps[0].shape[2:].numel() == 1:
        raise KdzooError(
            f"knowledge 'catkd': the {side}'s class maps are a single pixel, without positions to compare; give it "
            f"larger images (roles.{side}.img_size=64) or, in families that have it, a finer last stage "
            f"(roles.{side}.kwargs.output_stride=8)"
        )


def _pooling(model: nn.Module) -> nn.Module | None:
    for place in (model, getattr(model, "head", None)):
        pool = getattr(place, "global_pool", None)
        if isinstance(pool, nn.Module):
            return pool
    return None


def _refusal(model: nn.Module, why: str) -> KdzooError:
    return KdzooError(
        f"knowledge 'catkd' needs class activation maps, and a {type(model).__name__} has none: {why}; take a "
        "network such as a ResNet or an EfficientNet, or knowledge 'at'"
    )
