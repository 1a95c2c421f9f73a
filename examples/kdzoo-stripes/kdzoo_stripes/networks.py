"""The network ``stripes_net``; importing this module registers it with timm."""

from __future__ import annotations

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import BasicBlock, ResNet

default_cfgs = generate_default_cfgs(
    {
        "stripes_net.untrained": {
            "num_classes": 1000,
            "input_size": (3, 32, 32),
            "mean": (0.5, 0.5, 0.5),
            "std": (0.5, 0.5, 0.5),
            "first_conv": "conv1",
            "classifier": "fc",
        }
    }
)
"""timm's description of each network; for pretrained weights, also their location."""


@register_model
def stripes_net(pretrained: bool = False, **keywords: Any) -> ResNet:
    """A residual network of four narrow blocks."""
    own = {"block": BasicBlock, "layers": [1, 1, 1, 1], "channels": [8, 16, 24, 32], "stem_width": 8}
    return build_model_with_cfg(ResNet, "stripes_net", pretrained, **own, **keywords)
