"""ShuffleNets for 32 pixels, with a 1x1 stem: Zhang et al. 2018 (V1), Ma et al. 2018 (V2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kdzoo_cifar.staged import Staged, conv, shuffled


class UnitV1(nn.Module):
    """Grouped 1x1 convolutions around a filter of each channel, with the channels shuffled between.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        stride: with 2, the pooled input is concatenated and not added.
        groups: of the 1x1 convolutions; the first one of the network has one.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, groups: int) -> None:
        super().__init__()
        own = outputs - inputs if stride == 2 else outputs
        middle = own // 4
        self.groups = 1 if inputs == 24 else groups
        self.conv1, self.bn1 = conv(inputs, middle, 1, groups=self.groups), nn.BatchNorm2d(middle)
        self.conv2, self.bn2 = conv(middle, middle, 3, stride, groups=middle), nn.BatchNorm2d(middle)
        self.conv3, self.bn3 = conv(middle, own, 1, groups=groups), nn.BatchNorm2d(own)
        self.relu1, self.relu2, self.relu3 = nn.ReLU(), nn.ReLU(), nn.ReLU()
        self.pool = nn.AvgPool2d(3, 2, padding=1) if stride == 2 else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        y = shuffled(self.relu1(self.bn1(self.conv1(x))), self.groups)
        y = self.relu2(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        joined: Tensor = self.relu3(y + x if self.pool is None else torch.cat([y, self.pool(x)], dim=1))
        return joined


class ShuffleV1(Staged):
    """Three stages of 240, 480 and 960 channels in three groups.

    Args:
        num_classes: K.
        in_chans: channels of the images.
    """

    def __init__(self, *, num_classes: int = 100, in_chans: int = 3) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu = conv(in_chans, 24, 1), nn.BatchNorm2d(24), nn.ReLU()
        stages: list[tuple[tuple[str, ...], int, int]] = [(("conv1", "bn1", "relu"), 24, 1)]
        inputs = 24
        for number, (width, depth) in enumerate(((240, 4), (480, 8), (960, 4)), start=1):
            units = [UnitV1(inputs, width, 2, 3), *(UnitV1(width, width, 1, 3) for _ in range(depth - 1))]
            self.add_module(f"layer{number}", nn.Sequential(*units))
            stages.append(((f"layer{number}",), width, 2**number))
            inputs = width
        self.describe(stages, width=inputs, num_classes=num_classes, classifier="linear")


class DownV2(nn.Module):
    """Two branches of stride 2, each half of the outputs.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.conv1, self.bn1 = conv(inputs, inputs, 3, 2, groups=inputs), nn.BatchNorm2d(inputs)
        self.conv2, self.bn2, self.relu2 = conv(inputs, half, 1), nn.BatchNorm2d(half), nn.ReLU()
        self.conv3, self.bn3, self.relu3 = conv(inputs, half, 1), nn.BatchNorm2d(half), nn.ReLU()
        self.conv4, self.bn4 = conv(half, half, 3, 2, groups=half), nn.BatchNorm2d(half)
        self.conv5, self.bn5, self.relu5 = conv(half, half, 1), nn.BatchNorm2d(half), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H/2, W/2)."""
        left = self.relu2(self.bn2(self.conv2(self.bn1(self.conv1(x)))))
        right = self.relu3(self.bn3(self.conv3(x)))
        right = self.relu5(self.bn5(self.conv5(self.bn4(self.conv4(right)))))
        return shuffled(torch.cat([left, right], dim=1), 2)


class UnitV2(nn.Module):
    """Half of the channels pass, the other half is convolved; then they are shuffled.

    Args:
        width: channels that come in and go out.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.conv1, self.bn1, self.relu1 = conv(half, half, 1), nn.BatchNorm2d(half), nn.ReLU()
        self.conv2, self.bn2 = conv(half, half, 3, groups=half), nn.BatchNorm2d(half)
        self.conv3, self.bn3, self.relu3 = conv(half, half, 1), nn.BatchNorm2d(half), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        kept, y = x.chunk(2, dim=1)
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(y)))))
        y = self.relu3(self.bn3(self.conv3(y)))
        return shuffled(torch.cat([kept, y], dim=1), 2)


class ShuffleV2(Staged):
    """Three stages of 116, 232 and 464 channels; the last 1x1 convolution belongs to the head.

    Args:
        num_classes: K.
        in_chans: channels of the images.
    """

    def __init__(self, *, num_classes: int = 100, in_chans: int = 3) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu = conv(in_chans, 24, 1), nn.BatchNorm2d(24), nn.ReLU()
        stages: list[tuple[tuple[str, ...], int, int]] = [(("conv1", "bn1", "relu"), 24, 1)]
        inputs = 24
        for number, (width, depth) in enumerate(((116, 4), (232, 8), (464, 4)), start=1):
            units = [DownV2(inputs, width), *(UnitV2(width) for _ in range(depth - 1))]
            self.add_module(f"layer{number}", nn.Sequential(*units))
            stages.append(((f"layer{number}",), width, 2**number))
            inputs = width
        self.conv2, self.bn2, self.relu2 = conv(inputs, 1024, 1), nn.BatchNorm2d(1024), nn.ReLU()
        self.describe(
            stages,
            width=1024,
            num_classes=num_classes,
            head=("conv2", "bn2", "relu2"),
            classifier="linear",
        )
