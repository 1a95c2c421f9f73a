"""How well a student's features predict the teacher's, where no label says what is right.

A linear map is fitted on training pictures (ridge regression of standardised features) and measured on others: the
share of the teacher's variance that it explains, in percent. It is the same measure for every student and method,
whatever a method's own loss is.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kdzoo.api.batch import Batch
from kdzoo.backbone.origin import FOLDER
from kdzoo.compress.survey import Survey
from kdzoo.compress.teacher import Teacher
from kdzoo.data.dataset import DataSet
from kdzoo.engine.networks import Networks
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.registry.model import Registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo

_RIDGE = 0.1
"""Weight of the penalty, as a part of the number of pictures."""

_MOST = 4000
"""Training pictures that the map is fitted on at most."""


class Likeness:
    """Measures students against one teacher.

    Of the held-out pictures one half is for choices and the other for the report.

    Args:
        teacher: with weights.
        survey: the pictures.
        registry: of the methods.
        zoo: whose plugins may have networks.
    """

    def __init__(self, teacher: Teacher, survey: Survey, registry: Registry, zoo: Zoo) -> None:
        self._survey, self._registry, self._zoo = survey, registry, zoo
        self._data: DataSet = survey.data
        self._fitted, self._held = self._features(teacher.role.model_dump(exclude_unset=True))

    @property
    def pictures(self) -> int:
        """Held-out pictures of each half."""
        return len(self._held) // 2

    def of(self, student: Path | str, *, report: bool = False) -> float:
        """Percent of the teacher's variance on held-out pictures that the student explains; at most 100.

        Args:
            student: the folder of an exported student, or the name of a model, which is untrained then.
            report: the half for the report; default: that for choices.
        """
        folder = f"{FOLDER}{student.absolute()}" if isinstance(student, Path) else None
        fitted, held = self._features({"model": folder or str(student), "weights": folder})
        half = slice(1, None, 2) if report else slice(0, None, 2)
        return explained(fitted, self._fitted, held[half], self._held[half])

    def _features(self, network: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """(pictures, features) of training pictures as they are, and of the held-out ones."""
        own = {"roles.student": {**network, "head": False, "train": None}, "observers": []}
        data = {"data": self._survey.config.model_dump(exclude_unset=True)}
        recipe = resolve(
            zoo=self._zoo,
            registry=self._registry,
            method="baseline",
            layers=[Layer("compress", data), Layer("compress", dotted(own))],
        )
        networks = Networks(recipe, self._data, torch.device("cpu"), lambda role, config: None, self._zoo)
        built = networks.build("student", num_classes=0).eval()
        return _embedded(built, self._training()), _embedded(built, self._data.test)

    def _training(self) -> Iterable[Batch]:
        rows, size = self._data.train.split.index[:_MOST], 64
        return (
            self._data.fetch(rows[start : start + size], view=None) for start in range(0, len(rows), size)
        )


@torch.no_grad()
def _embedded(network: nn.Module, batches: Iterable[Batch]) -> Tensor:
    found = [network(batch.inputs["image"], embedding=True).embedded.float() for batch in batches]
    return torch.cat(found)


def explained(fitted: Tensor, taught: Tensor, held: Tensor, truth: Tensor) -> float:
    """Percent of the variance of ``truth`` that a linear map from ``held``, fitted on the others, explains.

    Args:
        fitted: (N, D) a student's features of training pictures.
        taught: (N, E) the teacher's.
        held: (M, D) the student's of others.
        truth: (M, E) the teacher's.
    """
    source, source_held = _standardised(fitted, held)
    target, target_held = _standardised(taught, truth)
    penalty = _RIDGE * len(source) * torch.eye(source.shape[1], dtype=source.dtype)
    weights = torch.linalg.solve(source.T @ source + penalty, source.T @ target)
    left = (target_held - source_held @ weights).square().sum()
    whole = target_held.square().sum()
    return 100.0 * (1.0 - float(left / whole)) if whole > 0 else 0.0


def _standardised(fitted: Tensor, held: Tensor) -> tuple[Tensor, Tensor]:
    """Both with the mean and deviation of the first; features that do not vary are 0."""
    own, others = fitted.double(), held.double()
    mean, deviation = own.mean(0), own.std(0, correction=0)
    scale = torch.where(deviation > 1e-6, 1.0 / deviation.clamp_min(1e-6), 0.0)
    return (own - mean) * scale, (others - mean) * scale
