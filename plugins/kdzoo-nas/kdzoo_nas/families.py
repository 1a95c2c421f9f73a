"""The timm families that can be searched, and the `create_model` arguments of their architectures."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from timm.models import ConvNeXt, ResNet
from torch import nn

from kdzoo.api import KdzooError
from kdzoo_nas.space import Architecture, Options, Space, Stage


class Family(ABC):
    """Conversion between architectures and models of one of timm's classes."""

    model: ClassVar[type[nn.Module]]
    has_kernels: ClassVar[bool] = False

    @abstractmethod
    def read(self, model: Any) -> Architecture:
        """The architecture of a timm model of this class."""

    @abstractmethod
    def spell(self, architecture: Architecture) -> dict[str, Any]:
        """The arguments of ``timm.create_model`` for the architecture; plain values."""

    @abstractmethod
    def blocks(self, stages: int) -> tuple[str, ...]:
        """The names of the stages' modules in a model, shallow to deep."""


class ResNets(Family):
    """``timm.models.ResNet``: resnet18, resnet50d, wide_resnet50_2, test_resnet, ..."""

    model = ResNet

    def read(self, model: Any) -> Architecture:
        """Widths are those of ``channels``: for bottleneck blocks, a quarter of the stage's output channels."""
        stages = [getattr(model, f"layer{number}") for number in range(1, len(model.feature_info))]
        widths = [info["num_chs"] for info in model.feature_info[1:]]
        return tuple(
            Stage(width // stage[0].expansion, len(stage))
            for width, stage in zip(widths, stages, strict=True)
        )

    def spell(self, architecture: Architecture) -> dict[str, Any]:
        """``layers`` and ``channels``."""
        return {
            "layers": [stage.depth for stage in architecture],
            "channels": [stage.width for stage in architecture],
        }

    def blocks(self, stages: int) -> tuple[str, ...]:
        """layer1, layer2, ..."""
        return tuple(f"layer{number}" for number in range(1, stages + 1))


class ConvNeXts(Family):
    """``timm.models.ConvNeXt``: convnext_atto, convnextv2_tiny, test_convnext, ..."""

    model = ConvNeXt
    has_kernels = True

    def read(self, model: Any) -> Architecture:
        """The kernel is that of the depthwise convolution."""
        return tuple(
            Stage(info["num_chs"], len(stage.blocks), stage.blocks[0].conv_dw.kernel_size[0])
            for info, stage in zip(model.feature_info, model.stages, strict=True)
        )

    def spell(self, architecture: Architecture) -> dict[str, Any]:
        """``depths``, ``dims`` and ``kernel_sizes``."""
        return {
            "depths": [stage.depth for stage in architecture],
            "dims": [stage.width for stage in architecture],
            "kernel_sizes": [stage.kernel for stage in architecture],
        }

    def blocks(self, stages: int) -> tuple[str, ...]:
        """stages.0, stages.1, ..."""
        return tuple(f"stages.{number}" for number in range(stages))


_FAMILIES: tuple[Family, ...] = (ResNets(), ConvNeXts())


def family_of(model: nn.Module, name: str) -> Family:
    """The family of a timm model.

    Raises:
        KdzooError: it belongs to no family that can be searched.

    """
    for family in _FAMILIES:
        if type(model) is family.model:
            return family
    known = " and ".join(f"{family.model.__name__}s" for family in _FAMILIES)
    raise KdzooError(
        f"model {name!r} is a {type(model).__name__}, whose widths and depths are not arguments of "
        f"timm.create_model; the architecture search takes {known} as --student, such as resnet18 or convnext_atto"
    )


def space_around(
    family: Family,
    base: Architecture,
    widths: Sequence[float],
    depths: Sequence[float],
    kernels: Sequence[int],
) -> Space:
    """The search space: ``base``'s stages, each scaled by one of the factors.

    Args:
        family: determines whether ``kernels`` are used.
        base: the architecture of the student's model.
        widths: factors; widths are rounded to multiples of 8.
        depths: factors; depths are rounded up.
        kernels: odd kernel sizes.

    """
    return Space(
        tuple(
            Options(
                tuple(sorted({max(8, round(stage.width * one / 8) * 8) for one in widths})),
                tuple(sorted({math.ceil(stage.depth * one) for one in depths})),
                tuple(sorted(set(kernels))) if family.has_kernels else (0,),
            )
            for stage in base
        )
    )
