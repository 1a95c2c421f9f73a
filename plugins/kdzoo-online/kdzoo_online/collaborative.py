"""Peers that learn from their ensemble: Guo et al. 2020."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor

from kdzoo.api import Batch, Output, Run, refuse_mixing
from kdzoo_online.functional import best_peer, linear_logits, mean_logits, minimum_logits
from kdzoo_online.peers import Peers

_BY_LABEL = {"best": best_peer, "minimum": minimum_logits, "linear": linear_logits}


class Collaborative(Peers):
    """Untrained networks are trained together, and all learn from one target computed from all their logits.

    The roles are ``student``, which is exported, ``peer1``, ``peer2``, ..., and the derived ``ensemble``. It
    has only logits. All ensembles except ``mean`` use the label; without one, they are the mean.

    Args:
        ensemble: ``minimum`` (KDCL-MinLogit), ``best`` (KDCL-Naive), ``linear`` (KDCL-Linear), or ``mean``.
        views: the ensemble uses another random augmentation of the images for each peer except the student.
    """

    name = "collaborative"

    def __init__(
        self,
        ensemble: Literal["minimum", "best", "linear", "mean"] = "minimum",
        views: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.ensemble = ensemble
        self.views = views

    def enroll(self, run: Run) -> None:
        """Enroll every peer, and derive their ensemble."""
        if self.views or self.ensemble != "mean":
            refuse_mixing(
                run,
                "scheme 'collaborative' reads class ids and other views of the same images",
                instead="take scheme.ensemble=mean with scheme.views=false",
            )
        super().enroll(run)
        run.derive("ensemble", lambda batch: Output(self._target(run, batch)))

    def arrows(self, run: Run) -> Iterable[tuple[str, str]]:
        """From the ensemble to every peer."""
        return [(role, "ensemble") for role in self.roles]

    def _target(self, run: Run, batch: Batch) -> Tensor:
        logits = [run.see("student", batch).logits]
        for view, role in enumerate(self.roles[1:], start=1):
            if not self.views:
                logits.append(run.see(role, batch).logits)
                continue
            with torch.no_grad():
                logits.append(run.see(role, run.data.fetch(batch.index, view=view)).logits)
        if self.ensemble == "mean" or batch.target is None:
            return mean_logits(logits)
        return _BY_LABEL[self.ensemble](logits, batch.target)
