"""The losses between peers: Zhang, Xiang, Hospedales and Lu 2018."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from kdzoo.api import Reduction, reduce
from kdzoo_online.functional.stack import wide


def mutual_losses(logits: Sequence[Tensor], *, reduction: Reduction = "mean") -> tuple[Tensor, ...]:
    """For each peer i, the mean over j ≠ i of KL(p_j ‖ p_i); Zhang et al. 2018.

    The others' probabilities are constants: peer i gets a gradient only from its own loss, so the losses can
    be added and minimised in one step.

    Args:
        logits: (B, K) of each of M ≥ 2 peers.
        reduction: ``"none"`` for (B,), ``"mean"`` for the mean over the batch.

    Returns:
        One loss for each peer, in the same order.

    Raises:
        ValueError: fewer than two peers, shapes that differ, or an unknown reduction.
    """
    log_p = [F.log_softmax(one, dim=1) for one in wide(logits)]
    losses = []
    for mine in log_p:
        others = [other.detach() for other in log_p if other is not mine]
        divergences = [
            F.kl_div(mine, other, reduction="none", log_target=True).sum(dim=1) for other in others
        ]
        losses.append(torch.stack(divergences).mean(dim=0))
    return tuple(reduce(loss, reduction) for loss in losses)
