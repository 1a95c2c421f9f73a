"""Contrastive representation distillation: Tian, Krishnan and Isola 2020."""

from __future__ import annotations

from functools import partial
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from kdzoo.api import UNLABELLED, Batch, Knowledge, Output, Run, Taps, refuse_mixing
from kdzoo_relation.bank import Bank
from kdzoo_relation.functional import info_nce_loss, nce_loss
from kdzoo_relation.functional.vectors import unit
from kdzoo_relation.projection import Projection


class CRD(Knowledge):
    """Each network's embedding identifies the other's of the same sample among those of other samples.

    Args:
        bank: keep both networks' last embeddings of every training sample and draw negatives from them;
            without it, the rest of the batch is contrasted, for data sets of millions.
        negatives: number of negatives from the bank for each positive.
        temperature: divides the cosines of the projected embeddings.
        momentum: weight of the stored vector when the sample is seen again.
        width: width of the projected embeddings.
        positive: ``pair`` is the other network's vector of this step, ``bank`` the stored one, as in the
            authors' code.
    """

    name = "crd"
    exempt: ClassVar = {
        "processes": "each process has a bank of the samples it has seen; a checkpoint has that of the first"
    }
    kind = "relation"
    taps = Taps(embedding=True)

    labels: Tensor

    def __init__(
        self,
        bank: bool = True,
        negatives: PositiveInt = 16384,
        temperature: PositiveFloat = 0.07,
        momentum: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        width: PositiveInt = 128,
        positive: Literal["pair", "bank"] = "pair",
    ) -> None:
        super().__init__()
        self.bank = bank
        self.negatives = negatives
        self.temperature = temperature
        self.momentum = momentum
        self.width = width
        self.positive: Literal["pair", "bank"] = positive

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """A projection for each network, and the banks, of the size of the training set."""
        refuse_mixing(run, "knowledge 'crd' contrasts each image with images of other classes")
        self.ours = Projection(student, self.width)
        self.theirs = Projection(teacher, self.width)
        labels = run.data.labels
        # An extra row for samples that are not in the data set: index -1 is the last row.
        self.register_buffer("labels", torch.cat([labels, labels.new_tensor([UNLABELLED])]), persistent=False)
        if self.bank:
            make = partial(Bank, len(labels), self.width, device=self.ours.weight.device)
            self.our_bank, self.their_bank = make(), make()
            self._generator = partial(run.generator, "crd")  # looked up in each step: a resume replaces it

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) losses, summed over the two directions."""
        ours, theirs = unit(self.ours(student.embedded)), unit(self.theirs(teacher.embedded))
        if not self.bank:
            ignored = self._alike(batch.index, batch.index)
            return info_nce_loss(
                ours, theirs, temperature=self.temperature, ignored=ignored, reduction="none"
            )
        rows = self._draw()
        usable = ~self._alike(batch.index, rows)
        loss = self._direction(ours, theirs, self.their_bank, batch.index, rows, usable) + self._direction(
            theirs, ours, self.our_bank, batch.index, rows, usable
        )
        self.our_bank.remember(batch.index, ours.detach(), self.momentum)
        self.their_bank.remember(batch.index, theirs.detach(), self.momentum)
        return loss

    def _draw(self) -> Tensor:
        """(N,) rows, shared by all anchors of the batch; every row once if K is at least the number of rows."""
        size, device = len(self.labels) - 1, self.labels.device
        if self.negatives >= size:
            return torch.arange(size, device=device)
        return torch.randint(size, (self.negatives,), generator=self._generator(), device=device)

    def _alike(self, index: Tensor, rows: Tensor) -> Tensor:
        """(B, N) mask: the row is the anchor itself, or is known to be of its class."""
        anchor, other = self.labels[index][:, None], self.labels[rows]
        return ((anchor == other) & (anchor != UNLABELLED)) | (index[:, None] == rows)

    def _direction(
        self, anchor: Tensor, partner: Tensor, bank: Bank, index: Tensor, rows: Tensor, usable: Tensor
    ) -> Tensor:
        scores = anchor @ bank.rows[rows].T / self.temperature
        log_partition = bank.log_partition(scores.detach())
        if self.positive == "bank":
            partner = torch.where(bank.seen[index][:, None], bank.rows[index], partner)
        positive = (anchor * partner).sum(dim=1) / self.temperature
        return nce_loss(
            positive,
            scores,
            usable,
            negatives=self.negatives,
            log_partition=log_partition,
            reduction="none",
        )
