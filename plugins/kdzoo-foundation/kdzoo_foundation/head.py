"""A head: it predicts one teacher's features from the student's, and compares them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from kdzoo.api import KdzooError, Output, Taps
from kdzoo_foundation.functional.features import Loss, feature_loss, patch_similarity_loss, resized

Standardise = Callable[[str, Tensor], nn.Module]
"""(term, example of the teacher's feature) -> the module that standardises it."""


SHOWN_BY_LONGER_RUNS = {
    "hyper-parameter:momentum": "the first 1 / momentum batches are averaged with equal weights",
    "hyper-parameter:temperature": "it is for dense_loss kl, and the maps of the small recipe have one position",
}
"""What a run of a few batches cannot show."""


class Terms:
    """What is compared between a student's features and a teacher's, and how.

    Args:
        pooled: weight of the global term: the pooled vectors, the teacher's summary.
        dense: weight of the dense term: the last maps, the teacher's patch tokens.
        loss: ``cosine`` with smooth-L1, or ``mse``, between the predicted feature and the teacher's.
        dense_loss: the same for the dense term; ``kl`` compares the rows of patch-to-patch similarity instead, and
            predicts no feature.
        cosine: weight of the cosine distance.
        smooth: weight of smooth-L1.
        temperature: divides the similarities of ``kl``.
        projector: ``linear``, or ``mlp`` with one hidden layer.
        width: of the hidden layer; default: the teacher's channels.
    """

    def __init__(
        self,
        pooled: NonNegativeFloat = 1.0,
        dense: NonNegativeFloat = 0.0,
        loss: Loss = "cosine",
        dense_loss: Literal["cosine", "mse", "kl"] = "cosine",
        cosine: NonNegativeFloat = 0.9,
        smooth: NonNegativeFloat = 0.1,
        temperature: PositiveFloat = 0.07,
        projector: Literal["linear", "mlp"] = "linear",
        width: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        if not (pooled or dense):
            raise KdzooError("pooled and dense are both 0, so nothing is taught: give one of them a weight")
        if not (cosine or smooth) and loss == "cosine":
            raise KdzooError("cosine and smooth are both 0, so nothing is taught: give one of them a weight")
        self.pooled = pooled
        self.dense = dense
        self.loss: Loss = loss
        self.dense_loss: Literal["cosine", "mse", "kl"] = dense_loss
        self.cosine = cosine
        self.smooth = smooth
        self.temperature = temperature
        self.projector: Literal["linear", "mlp"] = projector
        self.width = width
        self.taps = Taps((0,) if dense else (), embedding=pooled > 0)


class Head(nn.Module):
    """One teacher's features from the student's.

    Args:
        terms: what is compared.
        student: an example of the student's output, with what ``terms.taps`` names.
        teacher: an example of the teacher's.
        standardise: makes the module that standardises the teacher's features.

    Raises:
        KdzooError: patches are to be compared and the teacher has a single one.
    """

    def __init__(self, terms: Terms, student: Output, teacher: Output, standardise: Standardise) -> None:
        super().__init__()
        self._terms = [terms]  # in a list, since a knowledge is a module and would become a part of this one
        if terms.pooled:
            self.pooled = _projector(terms, student.embedded, teacher.embedded)
            self.pooled_standard = standardise("pooled", teacher.embedded)
        if not terms.dense:
            return
        ours, theirs = student.features[-1], teacher.features[-1]
        if terms.dense_loss != "kl":
            self.mapped = _projector(terms, ours, theirs)
            self.dense_standard = standardise("dense", theirs)
        elif theirs.shape[2:].numel() < 2:
            raise KdzooError(
                "the teacher's last map has a single position, so there are no patches to compare (dense_loss: kl): "
                "give it larger images (--teacher-img-size)"
            )

    def forward(self, student: Output, teacher: Output) -> Tensor:
        """(B,) losses, the weighted sum of the terms."""
        terms, losses = self._terms[0], []
        if terms.pooled:
            predicted = self.pooled(student.embedded)
            losses.append(
                terms.pooled * self._compared(predicted, self.pooled_standard(teacher.embedded), terms.loss)
            )
        if terms.dense:
            ours, theirs = student.features[-1], teacher.features[-1]
            if terms.dense_loss == "kl":
                found = patch_similarity_loss(
                    resized(ours, theirs), theirs, temperature=terms.temperature, reduction="none"
                )
            else:
                predicted = resized(self.mapped(ours), theirs)
                found = self._compared(predicted, self.dense_standard(theirs), terms.dense_loss)
            losses.append(terms.dense * found)
        return torch.stack(losses).sum(dim=0)

    def _compared(self, ours: Tensor, theirs: Tensor, loss: Loss) -> Tensor:
        terms = self._terms[0]
        return feature_loss(
            ours, theirs, loss=loss, cosine=terms.cosine, smooth=terms.smooth, reduction="none"
        )


def _projector(terms: Terms, ours: Tensor, theirs: Tensor) -> nn.Module:
    """From the student's channels to the teacher's; for maps, at each position alike."""

    def layer(before: int, after: int) -> nn.Module:
        if ours.ndim == 4:
            return nn.Conv2d(before, after, 1, device=ours.device)
        return nn.Linear(before, after, device=ours.device)

    before, after = ours.shape[1], theirs.shape[1]
    if terms.projector == "linear":
        return layer(before, after)
    hidden = terms.width or after
    return nn.Sequential(layer(before, hidden), nn.GELU(), layer(hidden, after))
