"""Softmax regression representation learning: Yang, Martinez, Bulat and Tzimiropoulos 2021."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from kdzoo.api import Backbone, Batch, KdzooError, Knowledge, Output, Run, Taps
from kdzoo_feature.functional.srrl import regression_loss


class SRRL(Knowledge):
    """Match the teacher's embedding, directly and after the teacher's frozen classifier.

    Args:
        feature: weight of the mean squared difference of the embeddings.
        regression: weight of the difference after the teacher's classifier.
        form: the second term: ``mse`` on logits, or ``cross-entropy`` with the teacher's probabilities.
    """

    name = "srrl"
    kind = "feature"
    reads_logits = True
    taps = Taps(embedding=True)

    def __init__(
        self,
        feature: NonNegativeFloat = 1.0,
        regression: NonNegativeFloat = 1.0,
        form: Literal["mse", "cross-entropy"] = "mse",
    ) -> None:
        super().__init__()
        self.feature = feature
        self.regression = regression
        self.form = form
        self.connector: nn.Module = nn.Identity()
        # In a tuple, so that the teacher's parameters do not become the connector's.
        self._classifier: tuple[nn.Module, ...] = ()

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """The connector to the width of the teacher's embedding, and a reference to the teacher's classifier."""
        self._classifier = (find_classifier(run.roles, teacher),)
        width = teacher.embedded.shape[1]
        layers: list[nn.Module] = [
            nn.Linear(student.embedded.shape[1], width, bias=False),
            nn.BatchNorm1d(width),
        ]
        # Decided once, from the example: negative values need a connector without ReLU.
        if (teacher.embedded >= 0).all():
            layers.append(nn.ReLU())
        self.connector = nn.Sequential(*layers).to(student.embedded.device)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses."""
        connected: Tensor = self.connector(student.embedded)
        logits = classify(self._classifier[0], connected)
        feature = (connected - teacher.embedded).square().mean(dim=1)
        regression = regression_loss(logits, teacher.logits, form=self.form, reduction="none")
        return self.feature * feature + self.regression * regression


def find_classifier(roles: Mapping[str, nn.Module], teacher: Output) -> nn.Module:
    """The classifier of the frozen network that gave this output.

    Raises:
        KdzooError: no frozen network has a classifier that maps this embedding to these logits.
    """
    found: list[tuple[float, nn.Module]] = []
    wanted = teacher.logits.float()
    for network in roles.values():
        if not isinstance(network, Backbone) or any(one.requires_grad for one in network.parameters()):
            continue
        try:
            with torch.no_grad():
                logits = classify(network.classifier, teacher.embedded.float())
        except (KdzooError, RuntimeError):
            continue  # several classifiers, or another teacher's width
        if logits.shape == wanted.shape:
            difference = (logits - wanted).abs().max() / wanted.abs().max()
            found.append((difference.item(), network.classifier))
    if found:
        distance, classifier = min(found, key=lambda one: one[0])
        if distance < 0.05:  # tolerance for half precision
            return classifier
    raise KdzooError(
        "knowledge 'srrl' lets the teacher's classifier judge the student, and no frozen role has one that makes its "
        "logits of its embedding alone: use scheme 'offline' with a teacher that has one classifier"
    )


def classify(classifier: nn.Module, embedding: Tensor) -> Tensor:
    """(B, K) logits of (B, D) embeddings; timm's convolutional classifiers read (B, D, 1, 1)."""
    convolves = isinstance(classifier, nn.Conv2d)
    logits: Tensor = classifier(embedding[:, :, None, None] if convolves else embedding)
    return logits.flatten(1)
