"""Probabilities of neighbours: Passalis and Tefas 2018."""

from __future__ import annotations

from torch import Tensor

from kdzoo.api import Reduction, reduce
from kdzoo_relation.functional.vectors import check_embeddings, cosines

EPSILON = 1e-7
"""Added to each probability in the logarithm."""


def pkt_loss(student: Tensor, teacher: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """KL(teacher || student) of the probabilities of picking each sample as the neighbour.

    Passalis and Tefas 2018, section 3: cosine similarities shifted to [0, 1], each row normalised to sum 1.
    As in the authors' code, the divergence is a mean over the B entries of a row, not their sum.

    Args:
        student: (B, D) embeddings.
        teacher: (B, D') embeddings.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Raises:
        ValueError: the inputs are not two matrices of one batch, or an option is unknown.
    """
    check_embeddings(student, teacher)
    ours, theirs = _probabilities(student), _probabilities(teacher)
    loss = (theirs * ((theirs + EPSILON) / (ours + EPSILON)).log()).mean(dim=1)
    return reduce(loss, reduction)


def _probabilities(embedding: Tensor) -> Tensor:
    """(B, B); each row sums to 1."""
    alike = (cosines(embedding) + 1) / 2
    return alike / alike.sum(dim=1, keepdim=True)
