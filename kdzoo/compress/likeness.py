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
from kdzoo.engine.networks import Networks
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.registry.model import Registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo

_RIDGES = 0.1, 1.0, 10.0, 100.0
"""Weights of the penalty, as parts of the number of pictures; the best one for the choice serves the report too."""

_MOST = 4000
"""Pictures of each kind that are looked at, about."""


class Likeness:
    """Measures students against one teacher.

    Of the held-out pictures one half is for choices and the other for the report. Where training pictures stream, a
    third of the held-out ones takes their place.

    Args:
        teacher: with weights.
        survey: the pictures.
        registry: of the methods.
        zoo: whose plugins may have networks.
    """

    def __init__(self, teacher: Teacher, survey: Survey, registry: Registry, zoo: Zoo) -> None:
        self._survey, self._registry, self._zoo = survey, registry, zoo
        self._taught = self._features(teacher.role.model_dump(exclude_unset=True))

    @property
    def pictures(self) -> int:
        """Held-out pictures of each part."""
        return len(self._taught[2])

    def of(self, student: Path | str, *, report: bool = False) -> float:
        """Percent of the teacher's variance on held-out pictures that the student explains; at most 100.

        Args:
            student: the folder of an exported student, or the name of a model, which is untrained then.
            report: the part for the report; default: that for choices.
        """
        folder = f"{FOLDER}{student.absolute()}" if isinstance(student, Path) else None
        own = self._features({"model": folder or str(student), "weights": folder})
        found = [[explained(own[0], self._taught[0], own[part], self._taught[part], ridge) for part in (1, 2)]
                 for ridge in _RIDGES]  # fmt: skip
        return max(found)[report]

    def _features(self, network: dict[str, Any]) -> tuple[Tensor, ...]:
        """(pictures, features) of the pictures to fit a map on, for choices, and for the report."""
        survey = self._survey
        roles = {"roles.student": {**network, "head": False, "train": None}, "observers": []}
        recipe = resolve(
            zoo=self._zoo,
            registry=self._registry,
            method="baseline",
            layers=[
                Layer("compress", {"data": survey.config.model_dump(exclude_unset=True)}),
                Layer("compress", dotted(roles)),
            ],
        )
        networks = Networks(recipe, survey.data, torch.device("cpu"), lambda role, config: None, self._zoo)
        built = networks.build("student", num_classes=0).eval()
        held = _embedded(built, survey.data.test)
        if survey.data.streams:
            return held[0::3], held[1::3], held[2::3]
        return _embedded(built, _training(survey)), held[0::2], held[1::2]


def _training(survey: Survey) -> Iterable[Batch]:
    """Training pictures as they are."""
    rows = survey.data.train.split.index
    return (survey.data.fetch(rows[start : start + 64], view=None) for start in range(0, len(rows), 64))


@torch.no_grad()
def _embedded(network: nn.Module, batches: Iterable[Batch]) -> Tensor:
    found: list[Tensor] = []
    for batch in batches:
        found.append(network(batch.inputs["image"], embedding=True).embedded.float())
        if sum(map(len, found)) >= _MOST:
            break
    return torch.cat(found)


def explained(
    fitted: Tensor, taught: Tensor, held: Tensor, truth: Tensor, ridge: float = _RIDGES[0]
) -> float:
    """Percent of the variance of ``truth`` that a linear map from ``held``, fitted on the others, explains.

    Args:
        fitted: (N, D) a student's features of training pictures.
        taught: (N, E) the teacher's.
        held: (M, D) the student's of others.
        truth: (M, E) the teacher's.
        ridge: weight of the penalty, as a part of the number of pictures.
    """
    source, source_held = _standardised(fitted, held)
    target, target_held = _standardised(taught, truth)
    penalty = ridge * len(source) * torch.eye(source.shape[1], dtype=source.dtype)
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
