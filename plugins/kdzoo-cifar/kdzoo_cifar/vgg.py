"""VGG networks with BatchNorm and one linear layer: Simonyan and Zisserman 2015, in the form for CIFAR."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from kdzoo_cifar.staged import Staged, he_normal

WIDTHS = (64, 128, 256, 512, 512)


class PoolAt(nn.MaxPool2d):
    """2x2 max pooling of maps with a given side; others pass.

    Args:
        side: in pixels.
    """

    def __init__(self, side: int) -> None:
        super().__init__(2)
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same or half the size."""
        return super().forward(x) if x.shape[-2] == self.side else x


class VGG(Staged):
    """Five blocks of 3x3 convolutions with bias; a block's last ReLU is outside of it, as in the published names.

    Args:
        depths: convolutions of each block.
        num_classes: K.
        in_chans: channels of the images.
    """

    def __init__(self, depths: Sequence[int], *, num_classes: int = 100, in_chans: int = 3) -> None:
        super().__init__()
        stages: list[tuple[tuple[str, ...], int, int]] = []
        inputs = in_chans
        for number, (depth, width) in enumerate(zip(depths, WIDTHS, strict=True)):
            layers: list[nn.Module] = []
            for _ in range(depth):
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
                inputs = width
            steps: tuple[str, ...] = (f"block{number}", f"relu{number}")
            if number:
                # After the fourth block the published code pools images of 64 pixels alone.
                self.add_module(f"pool{number - 1}", PoolAt(8) if number == 4 else nn.MaxPool2d(2))
                steps = (f"pool{number - 1}", *steps)
            self.add_module(f"block{number}", nn.Sequential(*layers[:-1]))
            self.add_module(f"relu{number}", nn.ReLU())
            stages.append((steps, width, 2 ** min(number, 3)))
        he_normal(self)
        self.describe(stages, width=inputs, num_classes=num_classes, classifier="classifier", linear_std=0.01)
