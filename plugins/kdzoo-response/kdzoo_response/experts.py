"""Soft labels that come with the data set, in place of a teacher."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator
from torch import Tensor

from kdzoo.api import Batch, DeclaredRole, KdzooError, Lesson, Output, Run, Scheme, refuse_mixing
from kdzoo_response.tables import read_table

File = Annotated[Path, AfterValidator(lambda path: path.expanduser().resolve())]
"""An absolute path in the recipe."""


class Experts(Scheme):
    """Class probabilities from experts, for each training sample, are the teacher.

    The roles are ``student`` and the derived ``teacher``, whose logits are the logarithms of the
    probabilities: softmax at temperature 1 gives the probabilities back. The teacher has no stages and no
    embedding.

    Args:
        labels: ``.csv`` with a column ``name`` and one for each class, or ``.npy`` of (samples, classes)
            probabilities in the order of the data set.
        missing: what to do with training samples without a row: ``refuse`` the file, or ``skip`` them in the
            distillation loss.
    """

    name = "experts"
    kind = "offline"
    needs_labels = True  # the file's columns are classes

    def __init__(self, labels: File, missing: Literal["refuse", "skip"] = "refuse") -> None:
        self.labels = labels
        self.missing = missing
        self.weights: Tensor | None = None

    def declared_roles(self) -> Iterable[DeclaredRole]:
        """None: the teacher is a table."""
        return ()

    def enroll(self, run: Run) -> None:
        """Read the file, and enroll the student and the derived teacher."""
        refuse_mixing(run, "scheme 'experts' has soft labels for single images")
        table = torch.from_numpy(read_table(self.labels, run.data.names, run.data.classes))
        known = ~table.isnan().any(dim=1)
        lacking = self._lacking(run, known)
        # Index -1, a synthetic sample, selects the extra last row: no expert has labelled it.
        table = torch.cat([table, table.new_full((1, table.shape[1]), torch.nan)])
        known = torch.cat([known, known.new_zeros(1)])
        table = table.where(known[:, None], 1 / table.shape[1]).clamp(min=torch.finfo(torch.float32).tiny)
        logits = table.log().to(run.device, torch.float32)
        # Weight samples only where needed: not every knowledge is a mean over samples.
        self.weights = known.to(run.device, torch.float32) if lacking else None
        run.enroll("student", run.build("student"))
        run.derive("teacher", lambda batch: Output(logits[batch.index]))

    def arrows(self, run: Run) -> Iterable[tuple[str, str]]:
        """The experts teach the student."""
        return [("student", "teacher")]

    def lessons(self, run: Run, batch: Batch) -> Iterable[Lesson]:
        """The student learns from the experts on the samples that have soft labels."""
        return [Lesson("student", "teacher", 1.0 if self.weights is None else self.weights[batch.index])]

    def _lacking(self, run: Run, known: Tensor) -> bool:
        """Whether training samples without soft labels must be skipped."""
        wanted = torch.ones_like(known)
        if (
            run.recipe.data.labels_per_class is None
        ):  # else those kept for validation look like unlabelled ones
            wanted = run.data.labels.cpu() >= 0
        if not bool((known & wanted).any()):
            raise KdzooError(f"soft labels {self.labels}: no training sample has any")
        lacking = torch.nonzero(wanted & ~known).flatten().tolist()
        if lacking and self.missing == "refuse":
            raise KdzooError(
                f"soft labels {self.labels}: {len(lacking)} of {int(wanted.sum())} training samples have none, the "
                f"first is {run.data.names[lacking[0]]!r}; add them, or set scheme.missing=skip"
            )
        return bool(lacking)
