"""mixup and CutMix through timm, as a pure function of (seed, epoch, step)."""

from __future__ import annotations

import numpy as np
import torch
from timm.data.mixup import Mixup
from torch import Tensor

from kdzoo.counter_rng import key


class Mix:
    """Blends each image of a batch with another one of it, and the targets alike."""

    def __init__(self, mixup: float, cutmix: float, classes: int, seed: int) -> None:
        # smoothing belongs to the task loss, which knows the recipe's
        self._mix = Mixup(mixup, cutmix, label_smoothing=0.0, num_classes=classes)
        self._seed = seed

    def __call__(self, images: Tensor, target: Tensor, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W), changed in place, and ids (B,) -> images and probabilities (B, K) float32.

        timm pairs the first with the last; in an odd batch the last image stays as it is.
        """
        even = len(images) - len(images) % 2
        blended, mixed = images[:even], []
        before = np.random.get_state()  # timm draws from NumPy's global generator
        try:
            np.random.seed(key("mix", self._seed, epoch, step) & 0xFFFFFFFF)
            mixed.append(self._mix(blended, target[:even])[1])
        finally:
            np.random.set_state(before)
        if even < len(images):
            mixed.append(torch.nn.functional.one_hot(target[even:], self._mix.num_classes).float())
        return images, torch.cat(mixed)
