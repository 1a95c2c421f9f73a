"""Search with a weight-sharing network: Yu and Huang 2019, and the searches based on it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from kdzoo.api import UNLABELLED, Backbone, Batch, Phase, Run, softened_kl
from kdzoo_nas.budget import Budget
from kdzoo_nas.evolution import best, evolve
from kdzoo_nas.hints import Fraction
from kdzoo_nas.nsga import nsga2, require_optuna
from kdzoo_nas.search import Search, image_of, search_images, training_images
from kdzoo_nas.space import Architecture
from kdzoo_nas.supernet import Builder, SuperNet
from kdzoo_nas.trace import Trace


class Sandwich(Search):
    """Train one network for all architectures with in-place distillation, then search it within the budget.

    In each step the largest architecture learns the task, and from the teacher if there is one; the smallest
    and some random ones learn the largest's probabilities. Then candidates are scored with the shared
    weights, and the best is trained further.

    Args:
        fraction: fraction of the recipe's epochs for the shared network.
        drawn: random architectures per step, in addition to the largest and the smallest.
        soft_weight: weight of KL(teacher || largest), if the recipe has a teacher.
        temperature: temperature of that divergence, which is multiplied by temperature².
        sampler: ``evolution``, or ``nsga2``, Optuna's.
        population: candidates per generation.
        generations: number of generations; 1 is random search with ``evolution``.
        calibration: training batches for a candidate's BatchNorm statistics.
        batches: number of batches of images for the score.
        inherit: whether the found student starts with the shared weights.
        task_weight: weight of the task loss, for the largest architecture and for the found student.

    """

    name = "sandwich"

    def __init__(
        self,
        fraction: Fraction = 0.5,
        drawn: NonNegativeInt = 2,
        soft_weight: NonNegativeFloat = 1.0,
        temperature: PositiveFloat = 4.0,
        sampler: Literal["evolution", "nsga2"] = "evolution",
        population: Annotated[int, Field(ge=2)] = 16,
        generations: PositiveInt = 4,
        calibration: PositiveInt = 4,
        batches: PositiveInt = 8,
        inherit: bool = True,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.fraction = fraction
        self.drawn = drawn
        self.soft_weight, self.temperature = soft_weight, temperature
        self.sampler, self.population, self.generations = sampler, population, generations
        self.calibration, self.batches = calibration, batches
        self.inherit = inherit

    def look(self, run: Run, builder: Builder, epochs: int) -> Iterator[Phase]:
        """Phase ``supernet``: in each step, the largest, the smallest and some random architectures."""
        if self.sampler == "nsga2":
            require_optuna()
        net = SuperNet(builder)
        run.enroll("supernet", net, student=False)
        space = builder.space
        steps = epochs * len(run.data.train)  # type: ignore[arg-type]  # the loop needs its length too

        def step(batch: Batch) -> Mapping[str, Tensor]:
            chance = random.Random(f"{self.name}/{run.recipe.seed}/{round(batch.progress * steps)}")
            image = image_of(run, batch)
            with run.autocast():
                largest = net(image).logits.float()
                drawn = [space.smallest, *(space.draw(chance) for _ in range(self.drawn))]
                answers = [net.call(one, image).logits.float() for one in drawn]
            task = self.task_weight * task_loss(largest, batch, run.recipe.smoothing)
            soft = torch.zeros((), device=run.device)
            if "teacher" in run.roles and self.soft_weight:
                teacher = run.see("teacher", batch).logits.float()
                soft = self.soft_weight * softened_kl(largest, teacher, self.temperature, reduction="mean")
            inplace = torch.stack(
                [softened_kl(one, largest.detach(), reduction="mean") for one in answers]
            ).sum()
            run.update(task + soft + inplace, "supernet")
            return {"task": task, "soft": soft, "inplace": inplace}

        yield Phase("supernet", run.data.train, step, epochs, validate=False)
        run.enroll("supernet", net, learns=False, student=False)

    def find(self, run: Run, builder: Builder, bounds: Budget) -> Trace:
        """Score candidates by the divergence of their predictions from the teacher's, or the largest's."""
        judge = Judge(run, _supernet(run), self.calibration, search_images(run, self.batches))
        seed = f"{self.name}/{run.recipe.seed}/search"
        common = {"population": self.population, "generations": self.generations}
        if self.sampler == "nsga2":
            sown = random.Random(seed).getrandbits(31)
            known = nsga2(builder.space, judge, bounds.cost, bounds.allows, sown, **common)
        else:
            known = evolve(builder.space, judge, bounds.allows, random.Random(seed), **common)
        found = best(known)[0]
        return Trace(
            tuple(known),
            tuple(bounds.cost(one) for one in known),
            tuple(judge.accuracies[one] for one in known),
            found,
            bounds.unit,
            "accuracy with shared weights, %",
        )

    def begin(self, run: Run, builder: Builder, found: Architecture, student: Backbone) -> None:
        """With ``inherit``, copy the student's slices of the shared weights to it."""
        if self.inherit:
            images = [image_of(run, batch) for batch in training_images(run, self.calibration)]
            _supernet(run).give(found, student, images)


def _supernet(run: Run) -> SuperNet:
    net = run.roles["supernet"]
    assert isinstance(net, SuperNet)
    return net


def task_loss(logits: Tensor, batch: Batch, smoothing: float) -> Tensor:
    """Cross-entropy over the labelled samples, zero without any; as the core's, for outputs of no role."""
    target = batch.target
    if target is None:
        return logits.sum() * 0
    if target.is_floating_point():
        known = batch.labelled
        smoothed = target * (1 - smoothing) + known[:, None] * (smoothing / target.shape[1])
        total = torch.nn.functional.cross_entropy(logits, smoothed, reduction="sum")
        return total / known.sum().clamp(min=1)
    total = torch.nn.functional.cross_entropy(
        logits, target, ignore_index=UNLABELLED, label_smoothing=smoothing, reduction="sum"
    )
    return total / (target != UNLABELLED).sum().clamp(min=1)


class Judge:
    """Scores candidates with the shared weights and newly computed BatchNorm statistics.

    Args:
        run: the run, with the images and possibly a teacher.
        net: the shared weights.
        calibration: batches of training images for the statistics.
        images: batches for the score, labelled or not.

    Attributes:
        accuracies: accuracy of each candidate in percent; for unlabelled samples, the reference's prediction
            is the label.

    """

    def __init__(self, run: Run, net: SuperNet, calibration: int, images: list[Batch]) -> None:
        self._run, self._net = run, net
        self._images = [image_of(run, batch) for batch in training_images(run, calibration)]
        self._seen: list[tuple[Tensor, Tensor, Tensor]] = []
        self.accuracies: dict[Architecture, float] = {}
        largest = net.builder.space.largest
        statistics = None
        for batch in images:
            image = image_of(run, batch)
            if "teacher" in run.roles:
                reference = run.see("teacher", batch).logits.detach().float()
            else:
                statistics = statistics or net.statistics(largest, self._images)
                reference = self._answer(largest, image, statistics)
            target = reference.argmax(dim=1)
            if batch.target is not None:
                target = torch.where(batch.target == UNLABELLED, target, batch.target)
            self._seen.append((image, reference, target))

    def __call__(self, architecture: Architecture) -> float:
        """Minus the mean divergence from the reference, which distinguishes candidates of equal accuracy."""
        statistics = self._net.statistics(architecture, self._images)
        apart, right, total = [], [], 0
        for image, reference, target in self._seen:
            answer = self._answer(architecture, image, statistics)
            apart.append(softened_kl(answer, reference).sum())
            right.append((answer.argmax(dim=1) == target).sum())
            total += len(target)
        self.accuracies[architecture] = 100 * float(torch.stack(right).sum()) / total
        return -float(torch.stack(apart).sum()) / total

    @torch.no_grad()
    def _answer(self, architecture: Architecture, image: Tensor, statistics: dict[str, Tensor]) -> Tensor:
        with self._run.autocast():
            return self._net.call(architecture, image, statistics).logits.float()
