"""mixup and CutMix through timm, as a pure function of (seed, epoch, step)."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import torch
from timm.data.mixup import Mixup
from torch import Tensor
from torch.nn.functional import one_hot

from kdzoo.api.batch import UNLABELLED
from kdzoo.counter_rng import key
from kdzoo.recipe.augment import AugmentConfig

Labels: TypeAlias = Literal["all", "some", "none"]


class Mix:
    """Blends each image of a batch with another one of it, and the targets alike.

    Args:
        config: the keys ``mixup`` and ``cutmix`` and their like.
        classes: how many.
        seed: of the draws.
        labels: which labels the samples have. Where ``some`` are withheld, labelled images are blended with labelled
            ones, but for one pair of a batch at most.

    """

    def __init__(self, config: AugmentConfig, classes: int, seed: int, labels: Labels = "all") -> None:
        # smoothing belongs to the task loss, which knows the recipe's
        self._mix = Mixup(
            config.mixup,
            config.cutmix,
            prob=config.mixup_prob,
            switch_prob=config.mixup_switch_prob,
            mode=config.mixup_mode,
            label_smoothing=0.0,
            num_classes=classes + (labels != "all"),  # the last class is a withheld label
        )
        self._classes = classes
        self._seed = seed
        self._labels = labels

    def __call__(self, images: Tensor, target: Tensor, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W), changed in place, and ids (B,) -> images and targets.

        timm pairs the first with the last; in an odd batch the last image stays as it is.

        Returns:
            The images; and probabilities (B, K) float32, a row of zeros where either label is withheld, or the ids as
            they were where all are.

        """
        if self._labels == "none":
            self._blend(images, torch.zeros_like(target), epoch, step)
            return images, target
        if self._labels == "all":
            return images, self._blend(images, target, epoch, step)
        order = _labelled_together(target)
        blended = images[order]
        weights = self._blend(blended, target.where(target != UNLABELLED, self._classes)[order], epoch, step)
        images.index_copy_(0, order, blended)
        weights = torch.empty_like(weights).index_copy_(0, order, weights)
        return images, weights[:, :-1] * (weights[:, -1:] == 0)

    def _blend(self, images: Tensor, target: Tensor, epoch: int, step: int) -> Tensor:
        even = len(images) - len(images) % 2
        mixed = []
        before = np.random.get_state()  # timm draws from NumPy's global generator
        try:
            np.random.seed(key("mix", self._seed, epoch, step) & 0xFFFFFFFF)
            mixed.append(self._mix(images[:even], target[:even])[1])
        finally:
            np.random.set_state(before)
        if even < len(images):
            mixed.append(one_hot(target[even:], self._mix.num_classes).float())
        return torch.cat(mixed)


def _labelled_together(target: Tensor) -> Tensor:
    """An order (B,) in which timm, which pairs the first with the last, pairs labelled samples with labelled ones."""
    order = torch.argsort((target == UNLABELLED).to(torch.int64), stable=True)
    even = len(order) - len(order) % 2
    return torch.cat([order[0:even:2], order[1:even:2].flip(0), order[even:]])
