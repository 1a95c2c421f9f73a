"""A classifier that hangs on an inner stage of a network."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from kdzoo.api import Output


class Exit(nn.Module):
    """From the map of an inner stage to logits, at a small part of what the rest of the network costs.

    Depthwise and pointwise convolutions; each of ``halvings`` blocks halves the height and the width, the last
    one has the channels of the network's deepest stage.

    Args:
        channels: of the stage that it reads.
        width: channels of the map before its classifier.
        classes: K.
        halvings: how often height and width are halved; 0: one block that leaves them.

    Attributes:
        shape: the arguments, to build the same one again.

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
        """Answer from one stage.

        Args:
            read: its ``features`` are the one stage, (B, channels, H, W).

        Returns:
            logits (B, K), the map (B, width, h, w) as the only feature, and the embedding (B, width).

        """
        (stage,) = read.features
        feature = self.bottleneck(stage)
        embedding = feature.mean(dim=(2, 3))
        return Output(self.classifier(embedding), (feature,), embedding)

    def classify(self, stage: Tensor) -> Tensor:
        """Logits (B, K) from the stage alone, (B, channels, H, W)."""
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
