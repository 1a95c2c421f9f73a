"""Residual networks: the narrow ones of He et al. 2016 for CIFAR, and ResNet-18/34/50 with a 3x3 stem."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from kdzoo_cifar.staged import Staged, conv, he_normal, strides


class Basic(nn.Module):
    """Two 3x3 convolutions and a shortcut, with the activation after the sum.

    Args:
        inputs: channels that come in.
        width: channels of the convolutions, and that go out.
        stride: of the first convolution.
        shortcut: name of the module on the shortcut, which is there where the shape changes.
    """

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, width, 3, stride), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3), nn.BatchNorm2d(width)
        self.relu, self.last_relu = nn.ReLU(), nn.ReLU()
        self._shortcut = _add_shortcut(self, shortcut, inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.last_relu(y + _short(self, x))  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut; the stride is the 3x3 convolution's.

    Args: as of :class:`Basic`; four times ``width`` channels go out.
    """

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = conv(width, 4 * width, 1), nn.BatchNorm2d(4 * width)
        self.relu, self.relu2, self.last_relu = nn.ReLU(), nn.ReLU(), nn.ReLU()
        self._shortcut = _add_shortcut(self, shortcut, inputs, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu2(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.last_relu(y + _short(self, x))  # type: ignore[no-any-return]


class ResNet(Staged):
    """A 3x3 stem without pooling, and stages of residual blocks; the first stage keeps the size.

    Args:
        block: which block.
        depths: blocks of each stage.
        widths: of the stem, then of each stage's blocks.
        shortcut: published name of the shortcuts.
        classifier: published name of the linear layer.
        num_classes: K.
        in_chans: channels of the images.
    """

    def __init__(
        self,
        block: type[Basic] | type[Bottleneck],
        depths: Sequence[int],
        widths: Sequence[int],
        *,
        shortcut: str = "downsample",
        classifier: str = "fc",
        num_classes: int = 100,
        in_chans: int = 3,
    ) -> None:
        super().__init__()
        stem, *rest = widths
        self.conv1, self.bn1, self.relu = conv(in_chans, stem, 3), nn.BatchNorm2d(stem), nn.ReLU()
        stages: list[tuple[tuple[str, ...], int, int]] = [(("conv1", "bn1", "relu"), stem, 1)]
        inputs = stem
        for number, (depth, width) in enumerate(zip(depths, rest, strict=True)):
            blocks = []
            for _, stride in strides(depth, 2 if number else 1):
                blocks.append(block(inputs, width, stride, shortcut))
                inputs = width * block.expansion
            self.add_module(f"layer{number + 1}", nn.Sequential(*blocks))
            stages.append(((f"layer{number + 1}",), inputs, 2**number))
        he_normal(self)
        self.describe(stages, width=inputs, num_classes=num_classes, classifier=classifier)


def _add_shortcut(block: nn.Module, name: str, inputs: int, outputs: int, stride: int) -> str | None:
    if stride == 1 and inputs == outputs:
        return None
    block.add_module(name, nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)))
    return name


def _short(block: Basic | Bottleneck, x: Tensor) -> Tensor:
    if block._shortcut is None:
        return x
    shortened: Tensor = getattr(block, block._shortcut)(x)
    return shortened
