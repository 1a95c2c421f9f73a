"""Specialists on confusable classes and a generalist: Hinton, Vinyals and Dean 2015, section 5."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn import functional as F

from kdzoo.api import UNLABELLED, Algorithm, Backbone, Batch, KdzooError, Output, Phase, Run, refuse_mixing
from kdzoo_multi_teacher.functional import merge_partitions

Classes = tuple[Annotated[int, Field(ge=0)], ...]


class Specialists(Algorithm):
    """Train specialists, merge them with the generalist into one soft target, and distill it.

    The generalist is the role ``teacher``. Each specialist classifies its own classes and puts all others in
    a dustbin class. The merged target is the distribution closest to all of their predictions; it replaces
    the generalist as ``teacher``. The last phase needs no label.

    Args:
        specialists: number of specialists if ``groups`` are not given: classes are clustered by k-means on
            the covariance of the generalist's predictions.
        groups: the class ids of each specialist, instead of clusters; they may overlap.
        generalist: whether the generalist is merged too. Then a specialist is used only for samples whose
            most likely class, for the generalist, is one of its own. Without it all are used, and every class
            must have a specialist.
        epochs: epochs of the specialists' phase; default: the recipe's.
        task_weight: weight of the task loss in the last phase.
        teach_weight: weight of the distillation loss in the last phase.
    """

    name = "specialists"
    needs_loop = "trains the specialists first"
    reads_teacher = True

    def __init__(
        self,
        specialists: Annotated[int, Field(ge=2)] = 3,
        groups: tuple[Classes, ...] | None = None,
        generalist: bool = True,
        epochs: PositiveInt | None = None,
        task_weight: NonNegativeFloat = 0.0,
        teach_weight: NonNegativeFloat = 1.0,
    ) -> None:
        self.count = len(groups) if groups else specialists
        self.groups = groups
        self.generalist = generalist
        self.epochs = epochs
        self.task_weight = task_weight
        self.teach_weight = teach_weight

    def phases(self, run: Run) -> Iterator[Phase]:
        """``specialists``, then ``distill``; both go over the training split."""
        refuse_mixing(run, "algorithm 'specialists' teaches its specialists class ids")
        if "teacher" not in run.roles:
            raise KdzooError("algorithm 'specialists' needs a generalist: pass --teacher MODEL")
        groups = self._groups(run)
        run.enroll("generalist", run.roles["teacher"], learns=False)
        names = [f"specialist{number}" for number in range(1, len(groups) + 1)]
        for name, group in zip(names, groups, strict=True):
            network = run.build(name, like="teacher", num_classes=len(group) + 1)
            _copy_matching_weights(network, run.roles["generalist"])
            run.enroll(name, network, student=False)
        # A class's index for a specialist; all other classes have the last, its dustbin.
        views = [_view(group, len(run.data.classes), run.device) for group in groups]

        def train(batch: Batch) -> Mapping[str, Tensor]:
            if batch.target is None:
                raise KdzooError("specialists learn from class ids, and these batches have none")
            losses = []
            for name, view in zip(names, views, strict=True):
                target = torch.where(batch.target < 0, UNLABELLED, view[batch.target.clamp_min(0)])
                logits = run.see(name, batch).logits.float()
                total = F.cross_entropy(logits, target, ignore_index=UNLABELLED, reduction="sum")
                losses.append(total / (target >= 0).sum().clamp_min(1))
            loss = torch.stack(losses).sum()
            run.update(loss, *names)
            return {"specialists": loss}

        yield Phase("specialists", run.data.train, train, self.epochs or run.recipe.epochs)

        for name in names:
            run.enroll(name, run.roles[name], learns=False)
        run.derive(
            "teacher", lambda batch: Output(self.merged(run, batch, names, groups).clamp_min(1e-12).log())
        )

        def distill(batch: Batch) -> Mapping[str, Tensor]:
            task, teach = run.task("student", batch), run.teach(batch)
            run.update(self.task_weight * task + self.teach_weight * teach, "student", "knowledge")
            return {"task": task, "teach": teach}

        yield Phase("distill", run.data.train, distill, run.recipe.epochs)

    def merged(self, run: Run, batch: Batch, names: Sequence[str], groups: Sequence[Sequence[int]]) -> Tensor:
        """(B, K), the distribution closest to the predictions of all experts used."""
        classes = len(run.data.classes)
        said = [run.see(name, batch).logits.float().softmax(dim=1) for name in names]
        if not self.generalist:
            return merge_partitions(said, groups, classes)
        general = run.see("generalist", batch).logits.float().softmax(dim=1)
        best = general.argmax(dim=1)
        asked = [torch.isin(best, torch.tensor(group, device=best.device)) for group in groups]
        active = torch.stack([*asked, torch.ones_like(best, dtype=torch.bool)], dim=1)
        return merge_partitions([*said, general], [*groups, range(classes)], classes, active=active)

    def measure(self, run: Run) -> Mapping[str, float]:
        """Accuracy of the merged target on the test split, in percent."""
        right = torch.zeros((), device=run.device)
        total = 0
        for batch in run.data.test:
            assert batch.target is not None
            right += (run.see("teacher", batch).logits.argmax(dim=1) == batch.target).sum()
            total += len(batch)
        return {"test/merged": 100 * float(right) / max(total, 1)}

    def _groups(self, run: Run) -> list[list[int]]:
        """The class ids of each specialist, ascending; clustered once and kept for a resume."""
        classes = len(run.data.classes)
        if self.groups is not None:
            groups = [sorted(set(group)) for group in self.groups]
            if any(not group or group[-1] >= classes or len(group) == classes for group in groups):
                raise KdzooError(
                    f"algorithm.groups: each group names some, and not all, of the {classes} class ids 0 to "
                    f"{classes - 1}"
                )
        else:
            if self.count >= classes:
                raise KdzooError(
                    f"algorithm.specialists {self.count}: {classes} classes make at most {classes - 1} groups"
                )
            groups = run.state.get("specialists/groups") or self._cluster(run)
            run.state["specialists/groups"] = groups
        left = sorted(set(range(classes)) - {number for group in groups for number in group})
        if left and not self.generalist:
            raise KdzooError(
                f"algorithm.groups leave out {', '.join(run.data.classes[number] for number in left)}: without the "
                "generalist every class needs a specialist"
            )
        return groups

    def _cluster(self, run: Run) -> list[list[int]]:
        classes = len(run.data.classes)
        products = torch.zeros(classes, classes, dtype=torch.float64, device=run.device)
        sums = torch.zeros(classes, dtype=torch.float64, device=run.device)
        seen = torch.zeros((), dtype=torch.float64, device=run.device)
        with torch.no_grad():
            for batch in run.data.train:
                p = run.see("teacher", batch).logits.double().softmax(dim=1)
                products += p.T @ p
                sums += p.sum(dim=0)
                seen += len(batch)
        if torch.distributed.is_initialized():
            for part in (products, sums, seen):
                torch.distributed.all_reduce(part)
        mean = sums / seen
        covariance = (products / seen - torch.outer(mean, mean)).cpu().numpy()
        np.fill_diagonal(covariance, 0.0)  # a class's frequency is irrelevant to its similarity to others
        found = KMeans(self.count, n_init=10, random_state=run.recipe.seed).fit_predict(covariance)
        return [np.flatnonzero(found == number).tolist() for number in range(self.count)]


def _view(group: Sequence[int], classes: int, device: torch.device) -> Tensor:
    """(K,): the index of each class for a specialist."""
    place = {number: place for place, number in enumerate(group)}
    return torch.tensor([place.get(number, len(group)) for number in range(classes)], device=device)


def _copy_matching_weights(network: torch.nn.Module, other: torch.nn.Module) -> None:
    """Copy every weight that fits: all except the classifier's."""
    assert isinstance(network, Backbone)
    own, given = network.state_dict(), other.state_dict()
    fitting = {key: one for key, one in given.items() if key in own and own[key].shape == one.shape}
    network.load_state_dict({**own, **fitting})
