"""Wide residual networks: Zagoruyko and Komodakis 2016, with activations before the convolutions."""

from __future__ import annotations

from torch import Tensor, nn

from kdzoo_cifar.staged import Staged, conv, he_normal, strides


class PreActivated(nn.Module):
    """BatchNorm and ReLU before each of two 3x3 convolutions.

    Where the width changes, the shortcut is a 1x1 convolution of the activated input; else it is the input.

    Args:
        inputs: channels that come in.
        width: channels that go out.
        stride: of the first convolution.
    """

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.relu1, self.conv1 = nn.BatchNorm2d(inputs), nn.ReLU(), conv(inputs, width, 3, stride)
        self.bn2, self.relu2, self.conv2 = nn.BatchNorm2d(width), nn.ReLU(), conv(width, width, 3)
        self.convShortcut = conv(inputs, width, 1, stride) if inputs != width else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        active = self.relu1(self.bn1(x))
        short: Tensor = x if self.convShortcut is None else self.convShortcut(active)
        deep: Tensor = self.conv2(self.relu2(self.bn2(self.conv1(active))))
        return short + deep


class WideResNet(Staged):
    """Three groups of blocks; the last BatchNorm and ReLU belong to the head, as the published maps are before them.

    Args:
        depth: 6n + 4, for n blocks in each group.
        widen: factor of the widths 16, 32 and 64.
        num_classes: K.
        in_chans: channels of the images.
    """

    def __init__(self, depth: int, widen: int, *, num_classes: int = 100, in_chans: int = 3) -> None:
        super().__init__()
        self.conv1 = conv(in_chans, 16, 3)
        stages: list[tuple[tuple[str, ...], int, int]] = [(("conv1",), 16, 1)]
        inputs = 16
        for number, width in enumerate((16 * widen, 32 * widen, 64 * widen)):
            blocks = []
            for _, stride in strides((depth - 4) // 6, 2 if number else 1):
                blocks.append(PreActivated(inputs, width, stride))
                inputs = width
            # the published names have a level more: block1.layer.0
            group = nn.Sequential()
            group.add_module("layer", nn.Sequential(*blocks))
            self.add_module(f"block{number + 1}", group)
            stages.append(((f"block{number + 1}",), width, 2**number))
        self.bn1, self.relu = nn.BatchNorm2d(inputs), nn.ReLU()
        he_normal(self)
        self.describe(stages, width=inputs, num_classes=num_classes, head=("bn1", "relu"), zero_bias=True)
