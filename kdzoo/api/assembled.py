"""A student that is more than one timm model."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from kdzoo.api.batch import Output
from kdzoo.api.probe import Probe


class Assembled(nn.Module, ABC):
    """A network on the task that contains timm backbones and further modules.

    A plugin subclasses it if the final student is not a plain timm model, and enrolls an
    instance as ``"student"``. It is exported as a ``torch.export`` program from images in [0, 1] to logits, which
    runs without kdzoo and without timm.

    Attributes:
        label_names: the class names in the order of the logits; None = the data's.
    """

    label_names: tuple[str, ...] | None = None

    @abstractmethod
    def forward(
        self,
        image: Tensor,
        stages: tuple[int, ...] = (),
        embedding: bool = False,
        probes: tuple[Probe, ...] = (),
    ) -> Output:
        """Like a backbone: (B, C, H, W) images in [0, 1] to logits, the stages, the embedding."""
