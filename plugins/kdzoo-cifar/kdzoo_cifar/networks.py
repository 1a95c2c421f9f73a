"""The networks by name; importing this module registers them with timm.

Every name begins with ``cifar_``, because timm has a ``resnet18`` and a ``vgg13`` of its own. A tag says whose mean
and deviation normalise the images: ``cifar_wrn_16_2`` is ``cifar_wrn_16_2.cifar100``; the other is
``cifar_wrn_16_2.cifar10``.
"""

from __future__ import annotations

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn

from kdzoo_cifar.mobilenet import MobileNetV2
from kdzoo_cifar.resnet import Basic, Bottleneck, ResNet
from kdzoo_cifar.shuffle import ShuffleV1, ShuffleV2
from kdzoo_cifar.vgg import VGG
from kdzoo_cifar.wide_resnet import WideResNet

NARROW = {8: 1, 14: 2, 20: 3, 32: 5, 44: 7, 56: 9, 110: 18}
"""Layers -> residual blocks in each of three stages."""

_WIDE_STEM = {"shortcut": "shortcut", "classifier": "linear", "widths": (64, 64, 128, 256, 512)}

NETWORKS: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    **{
        f"resnet{layers}": (ResNet, {"block": Basic, "depths": (depth,) * 3, "widths": (16, 16, 32, 64)})
        for layers, depth in NARROW.items()
    },
    **{
        f"resnet{layers}x4": (
            ResNet,
            {"block": Basic, "depths": (NARROW[layers],) * 3, "widths": (32, 64, 128, 256)},
        )
        for layers in (8, 32)
    },
    **{
        f"wrn_{depth}_{widen}": (WideResNet, {"depth": depth, "widen": widen})
        for depth in (16, 40)
        for widen in (1, 2)
    },
    "vgg8": (VGG, {"depths": (1, 1, 1, 1, 1)}),
    "vgg11": (VGG, {"depths": (1, 1, 2, 2, 2)}),
    "vgg13": (VGG, {"depths": (2, 2, 2, 2, 2)}),
    "vgg16": (VGG, {"depths": (2, 2, 3, 3, 3)}),
    "vgg19": (VGG, {"depths": (2, 2, 4, 4, 4)}),
    "mobilenetv2": (MobileNetV2, {}),
    "shufflev1": (ShuffleV1, {}),
    "shufflev2": (ShuffleV2, {}),
    "resnet18": (ResNet, {"block": Basic, "depths": (2, 2, 2, 2), **_WIDE_STEM}),
    "resnet34": (ResNet, {"block": Basic, "depths": (3, 4, 6, 3), **_WIDE_STEM}),
    "resnet50": (ResNet, {"block": Bottleneck, "depths": (3, 4, 6, 3), **_WIDE_STEM}),
}
"""Published name -> its class and arguments."""

NORMALISATION = {
    "cifar100": (100, (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    "cifar10": (10, (125.3 / 255, 123.0 / 255, 113.9 / 255), (63.0 / 255, 62.1 / 255, 66.7 / 255)),
}
"""Tag -> classes, mean and standard deviation of each channel; the first tag is the default."""


def _description(name: str, tag: str) -> dict[str, Any]:
    classes, mean, std = NORMALISATION[tag]
    kind, own = NETWORKS[name]
    head = {VGG: "classifier", MobileNetV2: "classifier.0", ShuffleV1: "linear", ShuffleV2: "linear"}
    return {
        "num_classes": classes,
        "input_size": (3, 32, 32),
        "pool_size": None,
        "mean": mean,
        "std": std,
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "first_conv": {VGG: "block0.0", MobileNetV2: "conv1.0"}.get(kind, "conv1"),
        "classifier": own.get("classifier", head.get(kind, "fc")),
    }


default_cfgs = generate_default_cfgs(
    {f"cifar_{name}.{tag}": _description(name, tag) for name in NETWORKS for tag in NORMALISATION}
)
"""timm's descriptions; none has pretrained weights, which come as a checkpoint of the role."""


def _register(name: str) -> None:
    kind, own = NETWORKS[name]

    def build(pretrained: bool = False, global_pool: str = "avg", **keywords: Any) -> nn.Module:
        if global_pool != "avg":
            raise ValueError(f"global_pool {global_pool!r}: cifar_{name} averages")
        model: nn.Module = build_model_with_cfg(
            kind,
            f"cifar_{name}",
            pretrained,
            feature_cfg={"feature_cls": "getter"},
            **own,
            **keywords,
        )
        return model

    build.__name__ = build.__qualname__ = f"cifar_{name}"
    build.__doc__ = f"The network that the literature calls {name}."
    register_model(build)


for _name in NETWORKS:
    _register(_name)
