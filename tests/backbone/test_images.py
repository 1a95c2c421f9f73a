"""From an image in [0, 1] to what the network reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from kdzoo.backbone import Backbone, build_backbone
from kdzoo.recipe.roles import RoleConfig


def _seen(backbone: Backbone, image: torch.Tensor) -> torch.Tensor:
    """What the timm model is given."""
    given: list[torch.Tensor] = []
    handle = backbone.model.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    backbone(image)
    handle.remove()
    return given[0]


def _build(channels: int, model: str = "test_resnet", size: int = 32) -> Backbone:
    return build_backbone(RoleConfig(model=model), num_classes=2, channels=channels, img_size=size).eval()


def test_each_network_normalises_with_its_own_mean_and_std() -> None:
    image = torch.full((1, 3, 32, 32), 0.5)
    resnet, mobile = _build(3), _build(3, "mobilenetv3_small_050")
    assert resnet.model.pretrained_cfg["mean"] != mobile.model.pretrained_cfg["mean"]
    for backbone in (resnet, mobile):
        cfg = backbone.model.pretrained_cfg
        expected = [(0.5 - mean) / std for mean, std in zip(cfg["mean"], cfg["std"], strict=True)]
        torch.testing.assert_close(_seen(backbone, image)[0, :, 0, 0], torch.tensor(expected))


@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels_are_normalised_by_the_average(channels: int) -> None:
    backbone = _build(channels)
    cfg = backbone.model.pretrained_cfg
    expected = (0.5 - sum(cfg["mean"]) / 3) / (sum(cfg["std"]) / 3)
    seen = _seen(backbone, torch.full((1, channels, 32, 32), 0.5))
    torch.testing.assert_close(seen, torch.full((1, channels, 32, 32), expected))
    assert backbone.channels == channels


@pytest.mark.parametrize("size", [20, 48])
def test_resizing_is_that_of_pillow(size: int) -> None:
    """Within the rounding to 8 bits, also where a hard edge overshoots."""
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    pixels[8:24, 8:24] = 255
    pixels[:, 28:] = 0
    backbone = _build(3, size=size)
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
    seen = (_seen(backbone, image) * backbone.std + backbone.mean)[0].permute(1, 2, 0).numpy() * 255
    expected = np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC), np.float32)
    assert np.abs(seen - expected).max() < 1.01
