"""Ranking of students without training: Dong, Li and Wei 2023."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from kdzoo.api import UNLABELLED, Backbone, Batch, Phase, Run
from kdzoo_nas.budget import Budget
from kdzoo_nas.evolution import best, evolve
from kdzoo_nas.functional import class_gradient, gram_distance
from kdzoo_nas.search import Search, image_of, need_teacher, search_images
from kdzoo_nas.space import Architecture
from kdzoo_nas.supernet import Builder
from kdzoo_nas.trace import Trace


class DisWot(Search):
    """Find the architecture most similar to the teacher at initialisation, then train it.

    Relation: similarities between the last maps of a batch's images. Semantics: similarities between the
    classifier's gradients for the classes. Candidates are drawn and evolved without training.

    Args:
        relation: weight of the distance of the relations between samples.
        semantic: weight of the distance of the relations between classes.
        population: candidates per generation.
        generations: number of generations; 1 is random search.
        initialisations: initialisations of each candidate, whose scores are averaged.
        batches: number of batches of images.

    """

    name = "diswot"

    def __init__(
        self,
        relation: NonNegativeFloat = 1.0,
        semantic: NonNegativeFloat = 1.0,
        population: PositiveInt = 16,
        generations: PositiveInt = 6,
        initialisations: PositiveInt = 3,
        batches: PositiveInt = 4,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.relation, self.semantic = relation, semantic
        self.population, self.generations = population, generations
        self.initialisations, self.batches = initialisations, batches

    def look(self, run: Run, builder: Builder, epochs: int) -> Iterator[Phase]:
        """No phases: nothing is trained."""
        need_teacher(run, self.name)
        yield from ()

    def find(self, run: Run, builder: Builder, bounds: Budget) -> Trace:
        """Evolve by the score at initialisation."""
        judge = Judge(run, builder, self.relation, self.semantic, self.initialisations, self.batches)
        known = evolve(
            builder.space,
            judge,
            bounds.allows,
            random.Random(f"{self.name}/{run.recipe.seed}"),
            population=self.population,
            generations=self.generations,
        )
        return Trace(
            tuple(known),
            tuple(bounds.cost(one) for one in known),
            tuple(known.values()),
            best(known)[0],
            bounds.unit,
            "minus the distance to the teacher, untrained",
        )


class Judge:
    """Scores untrained candidates by their similarity to the teacher.

    Args:
        run: has the teacher and the images.
        builder: builds the candidates.
        relation: weight of the distance of the relations between samples.
        semantic: weight of the distance of the relations between classes.
        initialisations: number of initialisations over which the score is averaged.
        batches: number of batches of images.

    """

    def __init__(
        self,
        run: Run,
        builder: Builder,
        relation: float = 1.0,
        semantic: float = 1.0,
        initialisations: int = 3,
        batches: int = 4,
    ) -> None:
        self._run, self._builder = run, builder
        self._weights = relation, semantic
        self._roles = [f"candidate{number}" for number in range(1, initialisations + 1)]
        self._seen: list[tuple[Batch, Tensor, Tensor, Tensor]] = []
        teacher = need_teacher(run, DisWot.name)
        for batch in search_images(run, batches):
            image = batch.inputs[run.recipe.roles["teacher"].modality]
            feature, embedding, logits = _look(run, teacher, image)
            target = _classes(batch, logits)
            self._seen.append((batch, target, feature, class_gradient(logits, embedding, target)))

    def __call__(self, architecture: Architecture) -> float:
        """Minus the weighted distances, averaged over initialisations and batches."""
        relation, semantic = self.distances(architecture)
        return -(self._weights[0] * relation + self._weights[1] * semantic)

    @torch.no_grad()
    def distances(self, architecture: Architecture) -> tuple[float, float]:
        """Distances of the untrained candidate's relations between samples and between classes, averaged."""
        found = []
        for role in self._roles:
            network = self._builder.build(role, architecture).train()  # BatchNorm has no statistics yet
            for batch, target, feature, gradient in self._seen:
                own, embedding, logits = _look(self._run, network, image_of(self._run, batch))
                found.append(
                    torch.stack(
                        [
                            gram_distance(own, feature),
                            gram_distance(class_gradient(logits, embedding, target), gradient),
                        ]
                    )
                )
        relation, semantic = torch.stack(found).mean(dim=0).tolist()
        return relation, semantic


@torch.no_grad()
def _look(run: Run, network: Backbone, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A network's last map, embedding and logits."""
    with run.autocast():
        output = network(image, (-1,), True)
    return output.features[0], output.embedded, output.logits


def _classes(batch: Batch, logits: Tensor) -> Tensor:
    """The labels; for unlabelled images, the class that the teacher predicts."""
    seen = logits.argmax(dim=1)
    if batch.target is None:
        return seen
    return torch.where(batch.target == UNLABELLED, seen, batch.target)
