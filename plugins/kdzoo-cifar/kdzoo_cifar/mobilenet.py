"""MobileNetV2 of half width for 32 pixels: Sandler et al. 2018, in the form of the distillation literature."""

from __future__ import annotations

from torch import Tensor, nn

from kdzoo_cifar.staged import Staged, conv, he_normal, strides

LAYOUT = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels before halving, blocks, stride of the first block."""


class Inverted(nn.Module):
    """Expand by a 1x1 convolution, filter each channel, project; a shortcut where the shape stays.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        stride: of the filter.
        expansion: factor of the expansion; the convolution is there for a factor of 1 too.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.conv = nn.Sequential(
            *(conv(inputs, wide, 1), nn.BatchNorm2d(wide), nn.ReLU()),
            *(conv(wide, wide, 3, stride, groups=wide), nn.BatchNorm2d(wide), nn.ReLU()),
            *(conv(wide, outputs, 1), nn.BatchNorm2d(outputs)),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        y: Tensor = self.conv(x)
        return x + y if self.adds else y


class MobileNetV2(Staged):
    """A stem of stride 2, seven groups of inverted blocks; the last 1x1 convolution belongs to the head.

    Args:
        num_classes: K.
        in_chans: channels of the images.
    """

    def __init__(self, *, num_classes: int = 100, in_chans: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(conv(in_chans, 16, 3, 2), nn.BatchNorm2d(16), nn.ReLU())
        groups = []
        inputs = 16
        for expansion, doubled, depth, first in LAYOUT:
            blocks = []
            for _, stride in strides(depth, first):
                blocks.append(Inverted(inputs, doubled // 2, stride, expansion))
                inputs = doubled // 2
            groups.append(nn.Sequential(*blocks))
        self.blocks = nn.ModuleList(groups)
        self.conv2 = nn.Sequential(conv(inputs, 1280, 1), nn.BatchNorm2d(1280), nn.ReLU())
        he_normal(self)
        self.describe(
            [
                (("conv1",), 16, 2),
                (("blocks.0", "blocks.1"), 12, 2),
                (("blocks.2",), 16, 4),
                (("blocks.3", "blocks.4"), 48, 8),
                (("blocks.5", "blocks.6"), 160, 16),
            ],
            width=1280,
            num_classes=num_classes,
            head=("conv2",),
            classifier="classifier.0",
            linear_std=0.01,
        )
