"""A classifier on an inner stage of a network."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from kdzoo.api import Output


class Exit(nn.Module):
    """From the map of an inner stage to logits, at a small fraction of the cost of the remaining network.

    Depthwise and pointwise convolutions. Each of ``halvings`` blocks halves height and width; the last one
    has the channels of the network's deepest stage.

    Args:
        channels: channels of the stage.
        width: channels of the map before the classifier.
        classes: K.
        halvings: how often height and width are halved; 0 is one block that keeps them.

    Attributes:
        shape: the arguments, to build the same exit again.

    """

    def __init__(self, channels: int, width: int, classes: int, halvings: int) -> None:
        super().__init__()
        self.shape: dict[str, Any] = {
            "channels": channels, "width": width, "classes": classes, "halvings": halvings
        }  # fmt: skip
        blocks = max(1, halvings)
        self.bottleneck = nn.Sequential(
            *(
                _block(channels, width if number == blocks - 1 else channels, stride=2 if halvings else 1)
                for number in range(blocks)
            )
        )
        self.classifier = nn.Linear(width, classes)

    def forward(self, read: Output) -> Output:
        """The exit's output.

        Args:
            read: its ``features`` are the stage, (B, channels, H, W).

        Returns:
            logits (B, K), the map (B, width, h, w) as the only feature, and the embedding (B, width).

        """
        (stage,) = read.features
        feature = self.bottleneck(stage)
        embedding = feature.mean(dim=(2, 3))
        return Output(self.classifier(embedding), (feature,), embedding)

    def classify(self, stage: Tensor) -> Tensor:
        """Logits (B, K) of the stage's map (B, channels, H, W)."""
        answer: Output = self(Output(stage.new_empty(0), (stage,)))
        return answer.logits


def _block(channels: int, width: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, width, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    )
